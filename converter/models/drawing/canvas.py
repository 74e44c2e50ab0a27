"""A small painter: masks built from curves, filled with colour, relief shading and texture, over numpy and Pillow.

Coordinates are pixels of the finished picture (0 .. SIZE, y downwards); masks are worked on at SCALE times that size
and hold a coverage in 0 .. 1. Colours are (red, green, blue) in 0 .. 255.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = 128
SCALE = 4
FULL = SIZE * SCALE
EVERYWHERE = 1.0
LIGHT = (-0.5, -0.85)  # towards the light: from above, a little from the left


def blurred(mask, radius):
    """The mask after a Gaussian blur of `radius` pixels of the finished picture."""
    image = Image.fromarray(np.uint8(np.clip(mask, 0, 1) * 255))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius * SCALE)), np.float32) / 255


def smooth(points, closed, steps=12):
    """A Catmull-Rom curve through `points`, which may have any number of coordinates each."""
    p = np.asarray(points, np.float64)
    before, after = (p[-1:], p[:2]) if closed else (p[:1], p[-1:])
    p = np.concatenate([before, p, after])
    a, b, c, d = (p[i : len(p) - 3 + i, None, :] for i in range(4))
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    curve = curve.reshape(-1, p.shape[1])
    return curve if closed else np.concatenate([curve, p[-2:-1]])


def polygon(points):
    """The mask of a polygon with straight edges."""
    image = Image.new("L", (FULL, FULL))
    ImageDraw.Draw(image).polygon([(x * SCALE, y * SCALE) for x, y in points], fill=255)
    return np.asarray(image, np.float32) / 255


def blob(points):
    """The mask of a closed smooth curve through `points`."""
    return polygon(smooth(points, closed=True))


def ellipse(x, y, rx, ry):
    """The mask of an ellipse with its centre at (x, y)."""
    image = Image.new("L", (FULL, FULL))
    box = [(x - rx) * SCALE, (y - ry) * SCALE, (x + rx) * SCALE, (y + ry) * SCALE]
    ImageDraw.Draw(image).ellipse(box, fill=255)
    return np.asarray(image, np.float32) / 255


def tube(points):
    """The mask of a limb: a smooth curve through (x, y, radius) points, its thickness following the radius."""
    image = Image.new("L", (FULL, FULL))
    draw = ImageDraw.Draw(image)
    for x, y, radius in smooth(points, closed=False, steps=40) * SCALE:
        radius = max(radius, SCALE / 4)
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)
    return np.asarray(image, np.float32) / 255


def union(*masks):
    """Covered by any of the masks."""
    return np.maximum.reduce(masks)


class Canvas:
    """A picture being painted, with a random generator of its own so that each picture stands alone."""

    def __init__(self, seed):
        self.generator = np.random.default_rng(seed)
        self.pixels = np.zeros((FULL, FULL, 3), np.float32)

    def noise(self, width, height, octaves=3):
        """Smooth random texture in about -1 .. 1; `width` and `height` are its coarsest grain in finished pixels."""
        total = np.zeros((FULL, FULL), np.float32)
        for octave in range(octaves):
            columns, rows = (max(2, round(SIZE * 2**octave / grain)) for grain in (width, height))
            grid = self.generator.uniform(-1, 1, (rows + 1, columns + 1)).astype(np.float32)
            total += np.asarray(Image.fromarray(grid).resize((FULL, FULL), Image.Resampling.BICUBIC)) / 1.6**octave
        return total / 1.6

    def gradient(self, stops):
        """Fill the picture with colours that change from top to bottom; `stops` are (y, colour) pairs with y rising."""
        ys = (np.arange(FULL) + 0.5) / SCALE
        at = [y for y, _ in stops]
        rows = np.stack([np.interp(ys, at, [colour[c] for _, colour in stops]) for c in range(3)], axis=1)
        self._blend(rows[:, None, :].astype(np.float32), EVERYWHERE)

    def texture(self, mask, amount, width, height, octaves=3):
        """Lighten and darken what is there by up to about `amount` (a fraction) with random texture."""
        self.pixels *= 1 + (amount * self.noise(width, height, octaves) * mask)[..., None]

    def paint(self, mask, colour, relief=0.0, depth=4.0, grain=(0.0, 4.0, 4.0)):
        """Fill `mask` with one colour, rounded by relief shading that reaches `depth` pixels in from the edge.

        `relief` is the strength of the shading (0 is flat); `grain` is (amount, width, height) of the texture.
        """
        shade = np.ones((FULL, FULL), np.float32)
        if relief:
            dy, dx = np.gradient(blurred(mask, depth))
            shade -= relief * depth * SCALE * (dx * LIGHT[0] + dy * LIGHT[1])
        if grain[0]:
            shade += grain[0] * self.noise(grain[1], grain[2])
        self._blend(np.asarray(colour, np.float32) * shade[..., None], mask)

    def shadow(self, mask, amount, radius):
        """Darken softly under `mask`."""
        self.pixels *= (1 - amount * blurred(mask, radius))[..., None]

    def glow(self, mask, colour, amount, radius):
        """Blend softly towards a colour: clouds, haze, reflections."""
        self._blend(np.asarray(colour, np.float32), amount * blurred(mask, radius))

    def haze(self, mask, colour, amount):
        """Blend towards a colour by `amount` times the mask, edges kept."""
        self._blend(np.asarray(colour, np.float32), amount * mask)

    def finish(self):
        """The finished 8-bit picture: reduced to SIZE, slightly noisy as a photograph is."""
        full = Image.fromarray(np.uint8(np.rint(np.clip(self.pixels, 0, 255))))
        small = np.asarray(full.resize((SIZE, SIZE), Image.Resampling.BOX), np.float32)
        luma = self.generator.normal(0, 2.0, (SIZE, SIZE, 1)).astype(np.float32)
        return Image.fromarray(np.uint8(np.clip(np.rint(small + luma), 0, 255)))

    def _blend(self, colour, mask):
        alpha = np.asarray(mask, np.float32)
        alpha = alpha[..., None] if alpha.ndim == 2 else alpha
        self.pixels += (colour - self.pixels) * alpha
