"""Draw the sample pictures, the calibration set made from them and the contact sheet.

    pip install numpy==2.4.6 pillow==13.0.0
    python converter/models/draw_pictures.py

Everything is drawn by this project's code from fixed seeds; no other material goes in. With the versions above the
files come out byte for byte as they are in the repository (another Pillow may compress the same pixels differently).
"""

from pathlib import Path

import numpy as np
from drawing import animals, vehicles
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
SCENES = {
    "airplane-1": (vehicles.airliner, 11),
    "airplane-2": (vehicles.jet, 12),
    "automobile-1": (vehicles.hatchback, 21),
    "automobile-2": (vehicles.saloon, 22),
    "bird-1": (animals.songbird, 31),
    "bird-2": (animals.ostrich, 32),
    "cat-1": (animals.cat, 41),
    "cat-2": (animals.lying_cat, 42),
    "deer-1": (animals.deer, 51),
    "dog-1": (animals.dog, 61),
    "dog-2": (animals.standing_dog, 62),
    "frog-1": (animals.frog, 71),
    "frog-2": (animals.toad, 72),
    "horse-1": (animals.horse, 81),
    "ship-1": (vehicles.freighter, 91),
    "ship-2": (vehicles.motorboat, 92),
    "truck-1": (vehicles.box_truck, 101),
    "truck-2": (vehicles.red_lorry, 102),
}
CALIBRATION_COUNT = 128
CALIBRATION_SEED = 1
SIDE = 32


def variant(picture, generator):
    """A 32 x 32 x 3 picture for calibration: a random square of a drawing, perhaps mirrored, in other light."""
    size = generator.uniform(72, picture.width)
    x, y = generator.uniform(0, picture.width - size, 2)
    small = picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=(x, y, x + size, y + size))
    pixels = np.asarray(small, np.float32)
    if generator.random() < 0.5:
        pixels = pixels[:, ::-1]
    mean = pixels.mean((0, 1))
    pixels = (pixels - mean) * generator.uniform(0.7, 1.5) + mean
    pixels = pixels * generator.uniform(0.85, 1.15, 3) + generator.uniform(-40, 40)
    return np.uint8(np.clip(np.rint(pixels), 0, 255))


def calibration_records(pictures):
    """CIFAR-10 binary records: 1 label byte (always 0, it means nothing here) and the planes red, green, blue."""
    generator = np.random.default_rng(CALIBRATION_SEED)
    records = np.zeros((CALIBRATION_COUNT, 1 + 3 * SIDE * SIDE), np.uint8)
    for i, record in enumerate(records):
        record[1:] = variant(pictures[i % len(pictures)], generator).transpose(2, 0, 1).ravel()
    return records


def contact_sheet(pictures, columns=6, side=96, caption=14, gap=4):
    """All pictures with their names, in 256 dithered colours to keep the file small."""
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (side + gap) + gap, rows * (side + caption + gap) + gap), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(11)
    for i, (name, picture) in enumerate(pictures.items()):
        x = gap + i % columns * (side + gap)
        y = gap + i // columns * (side + caption + gap)
        sheet.paste(picture.resize((side, side), Image.Resampling.LANCZOS), (x, y))
        draw.text((x + side / 2, y + side + caption / 2), name, fill="black", font=font, anchor="mm")
    return sheet.quantize(256, palette=sheet.quantize(256, kmeans=4))


def main():
    pictures = {name: scene(seed) for name, (scene, seed) in SCENES.items()}
    for folder in ("pictures", "calibration"):
        (HERE / folder).mkdir(exist_ok=True)
    for name, picture in pictures.items():
        picture.save(HERE / "pictures" / f"{name}.png", optimize=True)
    calibration_records(list(pictures.values())).tofile(HERE / "calibration" / f"drawn_{CALIBRATION_COUNT}.bin")
    docs = HERE.parents[1] / "docs"
    docs.mkdir(exist_ok=True)
    contact_sheet(pictures).save(docs / "pictures.png", optimize=True)


if __name__ == "__main__":
    main()
