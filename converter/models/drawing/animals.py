"""Scenes with birds, cats, deer, dogs, frogs and horses."""

from .canvas import EVERYWHERE, Canvas, blob, ellipse, polygon, tube, union

SIDES = (lambda x: 64 - x, lambda x: 64 + x)  # mirrored positions, for what is drawn on the left and on the right


def meadow(c, horizon, hedge, near, far):
    """Grass up to the horizon, out-of-focus trees above it."""
    c.gradient([(0, hedge[0]), (horizon - 2, hedge[1]), (horizon + 2, far), (128, near)])
    above = polygon([(0, 0), (128, 0), (128, horizon), (0, horizon)])
    below = polygon([(0, horizon), (128, horizon), (128, 128), (0, 128)])
    c.texture(above, 0.28, 26, 22, octaves=2)
    c.texture(below, 0.16, 6, 9)
    c.texture(below, 0.12, 40, 8, octaves=2)


def eye(c, x, y, radius, colour=(20, 16, 14)):
    """A dark eye with its highlight."""
    c.paint(ellipse(x, y, radius, radius), colour)
    c.paint(ellipse(x - radius * 0.3, y - radius * 0.35, radius * 0.3, radius * 0.3), (245, 245, 245))


def horse(seed):
    """A bay horse standing in profile on a green meadow, head to the left."""
    c = Canvas(seed)
    meadow(c, 58, ((120, 150, 110), (74, 104, 62)), (110, 146, 66), (134, 162, 88))
    coat, dark, mane, sock = (132, 72, 40), (79, 43, 24), (36, 26, 24), (44, 32, 28)
    c.shadow(ellipse(70, 117, 48, 5), 0.6, 3)
    c.paint(
        union(
            tube([(54, 76, 6), (50, 92, 3.6), (53, 104, 2.6), (51, 115, 2.6)]),
            tube([(98, 74, 7), (95, 90, 4), (101, 102, 2.8), (97, 115, 2.6)]),
        ),
        dark,
        relief=0.9,
        depth=3,
    )
    c.paint(
        tube([(106, 56, 3), (114, 66, 4), (116, 84, 4.6), (112, 98, 1.5)]),
        mane,
        relief=0.9,
        depth=2,
        grain=(0.15, 2, 10),
    )
    body = union(
        tube([(50, 64, 13), (60, 66, 14.5), (76, 67, 14), (92, 63, 14.5), (100, 62, 11)]),
        tube([(52, 62, 13), (44, 50, 10), (36, 36, 7.5), (31, 24, 6)]),
        tube([(33, 23, 6.8), (26, 31, 5.6), (18, 41, 4), (15, 44, 3.6)]),
        tube([(46, 76, 8), (44, 90, 4.2), (43, 102, 3), (42, 115, 2.8)]),
        tube([(102, 68, 10), (103, 86, 5.4), (110, 98, 3.4), (108, 115, 2.8)]),
        polygon([(31, 20), (33, 11), (37, 19)]),
    )
    c.paint(body, coat, relief=1.3, depth=5, grain=(0.07, 10, 8))
    c.haze(body * ellipse(72, 84, 30, 8), dark, 0.5)
    c.paint(
        tube([(34, 17, 2.6), (41, 26, 4), (48, 38, 4.4), (55, 50, 2.4)]), mane, relief=0.8, depth=2, grain=(0.15, 3, 6)
    )
    for x, y in ((42, 115), (51, 115), (97, 115), (108, 115)):
        c.paint(tube([(x, y - 7, 2.6), (x, y - 3, 2.7), (x - 0.6, y + 1, 3.2)]), sock, relief=0.6, depth=1.5)
        c.paint(tube([(x - 1, y + 2, 2.6), (x, y + 2.4, 2.8), (x + 0.6, y + 2.6, 2.6)]), (38, 32, 30))
    eye(c, 29, 25, 1.3)
    c.paint(ellipse(15.5, 43, 1, 0.8), (30, 22, 20))
    return c.finish()


def deer(seed):
    """A stag in profile, head to the right, in a dry autumn meadow."""
    c = Canvas(seed)
    meadow(c, 50, ((86, 96, 62), (100, 106, 66)), (134, 128, 70), (150, 146, 88))
    coat, dark = (150, 104, 62), (96, 66, 42)
    c.shadow(ellipse(56, 119, 42, 4), 0.5, 3)
    c.paint(
        union(
            tube([(76, 80, 5), (80, 94, 2.8), (77, 106, 2), (79, 118, 1.9)]),
            tube([(32, 80, 6), (38, 94, 3), (32, 106, 2.2), (35, 118, 1.9)]),
        ),
        dark,
        relief=0.9,
        depth=2,
    )
    antler = [
        tube([(91, 35, 1.6), (84, 26, 1.5), (82, 14, 1.3), (90, 4, 0.8)]),
        tube([(83, 20, 1.1), (76, 14, 1), (74, 8, 0.7)]),
        tube([(86, 29, 1.1), (94, 24, 1), (97, 18, 0.7)]),
        tube([(96, 34, 1.6), (102, 26, 1.5), (108, 16, 1.3), (106, 4, 0.8)]),
        tube([(107, 19, 1.1), (114, 14, 1), (117, 8, 0.7)]),
    ]
    c.paint(union(*antler), (104, 80, 56), relief=0.6, depth=1)
    body = union(
        tube([(26, 72, 11), (36, 72, 13), (54, 75, 13), (70, 74, 13), (77, 70, 11)]),
        tube([(74, 70, 11), (82, 58, 8.5), (88, 46, 6.5), (93, 40, 6)]),
        tube([(93, 39, 6), (101, 43, 4.6), (109, 48, 3), (112, 49.5, 2.6)]),
        tube([(72, 82, 7), (73, 96, 3.4), (71, 106, 2.3), (70, 119, 2)]),
        tube([(24, 78, 9), (26, 94, 4), (20, 105, 2.5), (22, 119, 2)]),
    )
    c.paint(body, coat, relief=1.3, depth=5, grain=(0.1, 6, 5))
    c.haze(body * ellipse(52, 90, 26, 6), (206, 182, 146), 0.7)
    c.paint(blob([(88, 37), (82, 31), (77, 30), (81, 37), (87, 41)]), coat, relief=0.8, depth=1.5)
    c.paint(blob([(96, 35), (103, 30), (107, 31), (103, 36), (98, 38)]), dark, relief=0.6, depth=1.5)
    c.paint(tube([(16, 66, 2), (13, 71, 3), (14, 77, 1.6)]), (224, 210, 184), relief=0.6, depth=1.5)
    c.haze(body * ellipse(82, 66, 5, 9), (190, 160, 120), 0.5)
    c.paint(ellipse(112, 49, 2, 1.8), (30, 24, 22))
    eye(c, 98, 40, 1.4)
    return c.finish()


def songbird(seed):
    """A robin-like bird perched on a branch before an out-of-focus green."""
    c = Canvas(seed)
    c.gradient([(0, (132, 156, 110)), (128, (92, 122, 74))])
    c.texture(EVERYWHERE, 0.22, 44, 40, octaves=2)
    c.paint(
        tube([(-4, 106, 4), (30, 102, 4.4), (70, 104, 4), (132, 94, 3)]),
        (96, 74, 56),
        relief=1.1,
        depth=2.5,
        grain=(0.25, 8, 2),
    )
    c.paint(tube([(86, 76, 6), (102, 92, 5), (116, 108, 3.4)]), (78, 62, 52), relief=0.9, depth=2, grain=(0.2, 3, 8))
    body = union(tube([(46, 36, 14), (48, 52, 19), (58, 66, 23), (74, 76, 15), (88, 82, 7)]))
    c.paint(body, (122, 100, 80), relief=1.3, depth=6, grain=(0.12, 4, 4))
    c.haze(body * blob([(26, 36), (40, 42), (48, 58), (44, 76), (36, 84), (20, 70)]), (206, 104, 44), 0.85)
    c.haze(body * blob([(40, 78), (56, 74), (78, 82), (70, 94), (50, 94)]), (222, 212, 194), 0.8)
    c.paint(
        blob([(56, 54), (70, 54), (88, 70), (104, 90), (86, 86), (66, 78), (56, 66)]),
        (92, 74, 60),
        relief=1.0,
        depth=3,
        grain=(0.2, 3, 6),
    )
    c.paint(tube([(64, 66, 0.8), (80, 76, 0.8), (98, 88, 0.6)]), (150, 130, 106))
    c.paint(tube([(66, 72, 0.7), (80, 80, 0.7), (92, 86, 0.5)]), (150, 130, 106))
    c.paint(polygon([(33, 32), (33, 40), (20, 38)]), (56, 48, 42), relief=0.6, depth=1.5)
    eye(c, 42, 32, 2.8)
    for x in (54, 64):
        c.paint(tube([(x, 86, 1.3), (x - 1, 94, 1.1), (x, 101, 1.1)]), (110, 76, 56))
        c.paint(tube([(x - 5, 101, 1), (x, 100, 1.2), (x + 4, 102, 1)]), (110, 76, 56))
    return c.finish()


def ostrich(seed):
    """An ostrich walking on a dry plain."""
    c = Canvas(seed)
    meadow(c, 44, ((190, 198, 188), (150, 156, 116)), (172, 152, 100), (180, 166, 116))
    c.shadow(ellipse(66, 119, 32, 4), 0.5, 3)
    c.paint(
        union(
            tube([(62, 78, 6), (56, 92, 3), (60, 104, 2), (56, 117, 1.8)]),
            tube([(76, 78, 6), (84, 92, 3), (78, 104, 2), (84, 117, 1.8)]),
            tube([(48, 118, 1.6), (53, 118, 1.8), (58, 118, 1.6)]),
            tube([(77, 118, 1.6), (82, 118, 1.8), (86, 118, 1.6)]),
        ),
        (168, 138, 118),
        relief=0.8,
        depth=2,
    )
    c.paint(
        union(
            tube([(48, 62, 4), (40, 48, 2.8), (38, 32, 2.4), (36, 18, 2.4)]),
            tube([(36, 15, 4), (32, 16, 3.4), (29, 17, 2)]),
        ),
        (182, 150, 132),
        relief=0.9,
        depth=2,
    )
    c.paint(tube([(30, 17, 1.2), (26, 18, 1.4), (22, 19.5, 0.7)]), (170, 130, 90))
    eye(c, 35, 14, 1.2)
    c.paint(
        blob([(42, 62), (54, 50), (72, 46), (92, 50), (102, 62), (98, 76), (84, 86), (62, 86), (48, 78)]),
        (34, 32, 32),
        relief=1.4,
        depth=6,
        grain=(0.5, 5, 5),
    )
    c.paint(
        blob([(94, 52), (106, 50), (114, 60), (110, 72), (100, 70)]),
        (222, 216, 204),
        relief=1,
        depth=3,
        grain=(0.15, 3, 5),
    )
    c.paint(
        blob([(66, 76), (84, 74), (94, 82), (82, 90), (68, 88)]),
        (216, 210, 198),
        relief=0.8,
        depth=3,
        grain=(0.15, 3, 5),
    )
    return c.finish()


def frog(seed):
    """A green frog sitting on wet brown ground, seen from the side, head to the left."""
    c = Canvas(seed)
    c.gradient([(0, (92, 78, 56)), (128, (122, 104, 78))])
    c.texture(EVERYWHERE, 0.35, 12, 8)
    c.shadow(ellipse(66, 108, 58, 8), 0.7, 4)
    green, dark = (106, 146, 52), (72, 104, 38)
    c.paint(union(tube([(58, 88, 7), (66, 100, 5), (58, 110, 3.4), (50, 112, 3)])), dark, relief=0.9, depth=3)
    body = blob(
        [
            (8, 62),
            (16, 44),
            (34, 36),
            (56, 34),
            (82, 46),
            (106, 68),
            (118, 88),
            (112, 102),
            (84, 106),
            (48, 104),
            (24, 92),
            (10, 76),
        ]
    )
    c.paint(body, green, relief=1.5, depth=7, grain=(0.14, 7, 7))
    c.haze(body * blob([(6, 70), (24, 76), (44, 92), (52, 108), (24, 104), (6, 84)]), (206, 208, 152), 0.8)
    for x, y, r in ((62, 48, 5), (80, 58, 5.5), (66, 64, 4), (92, 74, 5), (48, 52, 3.6), (78, 76, 3.5), (102, 88, 4)):
        c.haze(ellipse(x, y, r, r * 0.8), (52, 74, 30), 0.8)
    c.paint(
        union(
            blob([(70, 92), (84, 74), (106, 76), (120, 92), (114, 108), (88, 112), (72, 106)]),
            tube([(110, 106, 5), (96, 112, 4), (76, 113, 3)]),
        ),
        green,
        relief=1.5,
        depth=5,
        grain=(0.14, 6, 6),
    )
    for x, y in ((92, 86), (104, 94), (90, 100)):
        c.haze(ellipse(x, y, 4.5, 3), (52, 74, 30), 0.8)
    c.paint(
        union(
            tube([(40, 86, 7), (34, 98, 5), (38, 109, 3.6), (28, 113, 2.6)]),
            tube([(38, 110, 2.6), (34, 114, 2), (30, 116, 1.6)]),
        ),
        green,
        relief=1.3,
        depth=3,
        grain=(0.1, 5, 5),
    )
    c.paint(tube([(9, 64, 0.9), (22, 68, 0.9), (38, 66, 0.9), (46, 60, 0.7)]), (44, 56, 28))
    c.paint(ellipse(34, 38, 9.5, 9), green, relief=1.2, depth=3)
    c.paint(ellipse(33, 38, 6, 6), (196, 158, 50), relief=0.6, depth=2)
    eye(c, 32.5, 38, 3.8)
    c.paint(ellipse(52, 58, 5, 5), (92, 110, 50), relief=0.8, depth=2)
    return c.finish()


def toad(seed):
    """A brown toad facing the viewer on pale sand."""
    c = Canvas(seed)
    c.gradient([(0, (176, 162, 138)), (128, (196, 180, 152))])
    c.texture(EVERYWHERE, 0.16, 10, 7)
    c.shadow(ellipse(66, 108, 56, 10), 0.7, 4)
    brown = (120, 98, 66)
    for at in SIDES:
        c.paint(
            blob([(at(26), 66), (at(48), 62), (at(58), 84), (at(56), 104), (at(36), 108), (at(26), 92)]),
            brown,
            relief=1.3,
            depth=5,
            grain=(0.25, 5, 5),
        )
        c.paint(tube([(at(40), 106, 4), (at(50), 110, 3.4), (at(60), 112, 2.4)]), (104, 84, 58), relief=1, depth=2)
    c.paint(
        blob(
            [
                (26, 70),
                (30, 46),
                (44, 32),
                (64, 28),
                (84, 32),
                (98, 46),
                (102, 70),
                (98, 96),
                (80, 108),
                (48, 108),
                (30, 96),
            ]
        ),
        brown,
        relief=1.5,
        depth=8,
        grain=(0.3, 6, 6),
    )
    c.haze(blob([(36, 80), (64, 74), (92, 80), (88, 102), (64, 108), (40, 102)]), (200, 184, 146), 0.75)
    c.texture(ellipse(64, 90, 34, 20), 0.25, 4, 4)
    c.paint(tube([(32, 70, 0.8), (48, 76, 1.1), (64, 77, 1.1), (80, 76, 1.1), (96, 70, 0.8)]), (56, 42, 28))
    for at in SIDES:
        c.paint(ellipse(at(24), 44, 11, 11), brown, relief=1.3, depth=3, grain=(0.2, 4, 4))
        c.paint(ellipse(at(25), 45, 7, 6.5), (206, 150, 60), relief=0.6, depth=2)
        eye(c, at(25), 45, 4.2)
        c.paint(ellipse(at(5), 62, 1.2, 0.9), (50, 38, 26))
        c.paint(
            union(
                tube([(at(26), 86, 6), (at(32), 98, 5), (at(24), 110, 4)]),
                tube([(at(24), 110, 3), (at(28), 115, 2), (at(30), 117, 1.4)]),
                tube([(at(24), 110, 3), (at(22), 115, 2), (at(21), 118, 1.4)]),
                tube([(at(24), 110, 3), (at(17), 114, 2), (at(14), 116, 1.4)]),
            ),
            brown,
            relief=1.3,
            depth=3,
            grain=(0.25, 5, 5),
        )
    return c.finish()


def cat(seed):
    """A grey tabby's face and chest, facing the viewer, on a sofa."""
    c = Canvas(seed)
    c.gradient([(0, (150, 118, 98)), (84, (128, 96, 80)), (84.1, (166, 138, 118)), (128, (146, 120, 102))])
    c.texture(EVERYWHERE, 0.1, 20, 20)
    grey, dark, pale = (136, 126, 114), (66, 60, 54), (214, 206, 194)
    body = blob([(24, 132), (26, 104), (36, 84), (92, 84), (102, 104), (106, 132)])
    c.paint(body, grey, relief=1.3, depth=7, grain=(0.2, 4, 7))
    c.haze(blob([(46, 132), (46, 100), (64, 90), (82, 100), (82, 132)]), pale, 0.75)
    for at in SIDES:
        c.paint(polygon([(at(14), 34), (at(34), 4), (at(42), 48)]), grey, relief=1, depth=3, grain=(0.1, 4, 4))
        c.paint(polygon([(at(21), 32), (at(33), 13), (at(37), 40)]), (196, 150, 138), relief=0.5, depth=2)
    head = blob(
        [
            (20, 62),
            (26, 40),
            (46, 28),
            (64, 26),
            (82, 28),
            (102, 40),
            (108, 62),
            (100, 82),
            (80, 96),
            (64, 98),
            (48, 96),
            (28, 82),
        ]
    )
    c.paint(head, grey, relief=1.3, depth=7, grain=(0.15, 4, 4))
    for x, y, length in ((64, 28, 14), (55, 30, 12), (73, 30, 12), (46, 33, 9), (82, 33, 9)):
        c.haze(
            tube([(x, y, 1.8), (x * 0.7 + 19.2, y + length * 0.6, 1.6), (x * 0.6 + 25.6, y + length, 0.6)]), dark, 0.85
        )
    for at in SIDES:
        for y in (60, 69, 78):
            c.haze(tube([(at(42), y - 3, 1.8), (at(34), y, 1.8), (at(27), y + 1, 0.8)]), dark, 0.8)
        for y in (104, 114, 124):
            c.haze(tube([(at(38), y - 4, 2.4), (at(30), y, 2.2), (at(22), y + 2, 1)]), dark, 0.7)
        c.paint(blob([(at(10), 58), (at(18), 50), (at(29), 53), (at(26), 61), (at(17), 63)]), (40, 36, 32))
        c.paint(ellipse(at(19), 57, 7, 5.6), (168, 178, 74), relief=0.6, depth=2)
        c.paint(ellipse(at(19), 57, 2.2, 5.2), (16, 16, 14))
        c.paint(ellipse(at(19) - 2, 54.6, 1.3, 1.3), (250, 250, 250))
    c.glow(union(ellipse(55, 80, 11, 9), ellipse(73, 80, 11, 9), ellipse(64, 90, 9, 6)), pale, 0.9, 1.5)
    c.haze(tube([(64, 44, 3), (64, 58, 4), (64, 70, 5)]), pale, 0.35)
    c.paint(polygon([(58, 70), (70, 70), (64, 77)]), (196, 126, 122), relief=0.5, depth=1.5)
    c.paint(
        union(tube([(64, 77, 0.7), (63, 82, 0.8), (54, 85, 0.6)]), tube([(64, 77, 0.7), (65, 82, 0.8), (74, 85, 0.6)])),
        (90, 66, 60),
    )
    for at in SIDES:
        for dy in (-5, 0, 5):
            c.haze(
                tube([(at(12), 80 + dy * 0.4, 0.35), (at(34), 79 + dy, 0.35), (at(52), 80 + 2 * dy, 0.3)]),
                (240, 238, 232),
                0.8,
            )
    return c.finish()


def dog(seed):
    """A golden dog's head and chest, tongue out, before grass."""
    c = Canvas(seed)
    c.gradient([(0, (98, 128, 70)), (128, (116, 142, 76))])
    c.texture(EVERYWHERE, 0.2, 18, 18)
    gold, dark, pale = (198, 146, 84), (142, 94, 48), (232, 204, 158)
    c.paint(
        blob([(22, 134), (28, 100), (40, 82), (88, 82), (100, 100), (108, 134)]),
        gold,
        relief=1.2,
        depth=7,
        grain=(0.18, 4, 8),
    )
    c.haze(blob([(44, 134), (46, 104), (64, 94), (82, 104), (84, 134)]), pale, 0.6)
    head = blob(
        [
            (30, 44),
            (38, 24),
            (56, 16),
            (72, 16),
            (90, 24),
            (98, 44),
            (94, 64),
            (84, 84),
            (76, 98),
            (64, 102),
            (52, 98),
            (44, 84),
            (34, 64),
        ]
    )
    c.paint(head, gold, relief=1.3, depth=7, grain=(0.1, 5, 5))
    for at in SIDES:
        c.paint(
            blob([(at(22), 22), (at(34), 22), (at(44), 40), (at(46), 62), (at(40), 78), (at(32), 70), (at(30), 48)]),
            dark,
            relief=1.2,
            depth=4,
            grain=(0.12, 4, 7),
        )
        c.haze(ellipse(at(14), 37, 7, 3), pale, 0.4)
        c.paint(ellipse(at(15), 46, 5.4, 5), (88, 56, 30))
        eye(c, at(15), 46, 4, (26, 16, 10))
    c.glow(union(ellipse(64, 46, 4, 22), ellipse(55, 76, 11, 10), ellipse(73, 76, 11, 10)), pale, 0.85, 2)
    c.paint(blob([(52, 88), (64, 86), (76, 88), (72, 98), (64, 101), (56, 98)]), (70, 34, 34))
    c.paint(blob([(57, 90), (71, 90), (73, 104), (64, 112), (55, 104)]), (222, 110, 118), relief=0.8, depth=3)
    c.paint(tube([(64, 92, 0.5), (64, 100, 0.5), (64, 106, 0.4)]), (180, 74, 86))
    c.paint(blob([(53, 62), (64, 59), (75, 62), (72, 70), (64, 74), (56, 70)]), (30, 24, 24), relief=0.9, depth=2)
    c.paint(ellipse(60, 63, 2.4, 1.2), (130, 124, 124))
    c.paint(
        union(tube([(64, 74, 0.8), (63, 82, 0.9), (50, 88, 0.8)]), tube([(64, 74, 0.8), (65, 82, 0.9), (78, 88, 0.8)])),
        (72, 44, 30),
    )
    return c.finish()


def lying_cat(seed):
    """A ginger cat lying on a blue blanket, seen from the side, its head to the left."""
    c = Canvas(seed)
    c.gradient([(0, (196, 184, 164)), (58, (176, 164, 146)), (58.1, (72, 92, 128)), (128, (92, 114, 152))])
    c.texture(EVERYWHERE, 0.12, 24, 10)
    ginger, dark, pale = (204, 132, 68), (150, 84, 36), (236, 212, 180)
    c.shadow(ellipse(68, 108, 58, 8), 0.6, 4)
    c.paint(
        tube([(108, 92, 5), (120, 98, 4.6), (116, 108, 4.4), (92, 112, 4), (72, 111, 3.4)]),
        ginger,
        relief=1.2,
        depth=3,
        grain=(0.15, 3, 3),
    )
    body = union(
        tube([(42, 78, 17), (62, 78, 20), (84, 80, 22), (98, 86, 20)]),
        tube([(50, 96, 9), (30, 106, 5), (18, 109, 4.4)]),
    )
    c.paint(body, ginger, relief=1.4, depth=7, grain=(0.15, 4, 5))
    for x in range(54, 108, 9):
        c.haze(body * tube([(x, 56, 1.4), (x + 5, 70, 1.8), (x + 4, 84, 0.8)]), dark, 0.65)
    c.paint(
        blob([(80, 92), (96, 82), (112, 90), (112, 106), (94, 110), (80, 106)]),
        ginger,
        relief=1.3,
        depth=5,
        grain=(0.15, 4, 4),
    )
    for flip in (-1, 1):
        c.paint(polygon([(34 + flip * 5, 42), (34 + flip * 17, 24), (34 + flip * 20, 50)]), ginger, relief=1, depth=2)
        c.paint(polygon([(34 + flip * 10, 42), (34 + flip * 16, 31), (34 + flip * 17.5, 44)]), (206, 150, 134))
    c.paint(
        blob([(12, 58), (18, 44), (34, 38), (50, 44), (56, 58), (50, 72), (34, 79), (18, 72)]),
        ginger,
        relief=1.4,
        depth=5,
        grain=(0.12, 3, 3),
    )
    for x, end in ((34, 34), (28, 31), (40, 37)):
        c.haze(tube([(x, 40, 1.1), (end, 45, 1), (end, 49, 0.5)]), dark, 0.8)
    c.glow(union(ellipse(29, 67, 6, 5), ellipse(39, 67, 6, 5), ellipse(34, 86, 12, 8)), pale, 0.9, 1.5)
    for flip in (-1, 1):
        c.paint(ellipse(34 + flip * 9.5, 56, 4.2, 3.2), (150, 160, 70), relief=0.5, depth=1)
        c.paint(ellipse(34 + flip * 9.5, 56, 1.5, 3), (18, 16, 14))
        c.haze(
            tube([(34 + flip * 8, 67, 0.3), (34 + flip * 18, 67, 0.3), (34 + flip * 27, 69, 0.3)]), (246, 244, 238), 0.8
        )
    c.paint(polygon([(31, 62), (37, 62), (34, 66)]), (190, 112, 104))
    c.paint(tube([(10, 110, 4), (16, 109, 4.8), (22, 108, 4.4)]), pale, relief=1, depth=2)
    return c.finish()


def standing_dog(seed):
    """A black and white sheepdog standing in profile on a lawn, head to the right."""
    c = Canvas(seed)
    meadow(c, 40, ((150, 168, 150), (108, 134, 92)), (98, 138, 60), (122, 152, 80))
    black, white = (48, 46, 48), (228, 226, 220)
    c.shadow(ellipse(60, 114, 44, 5), 0.6, 3)
    c.paint(
        union(
            tube([(78, 84, 6), (84, 98, 3.8), (82, 112, 3.4), (86, 114, 2.6)]),
            tube([(38, 82, 8), (44, 96, 4), (40, 106, 3.4), (44, 114, 3)]),
        ),
        (34, 32, 34),
        relief=0.9,
        depth=2,
    )
    c.paint(tube([(26, 64, 5), (14, 72, 6), (8, 86, 5), (12, 96, 2)]), black, relief=1.5, depth=3, grain=(0.3, 3, 6))
    c.paint(tube([(9, 86, 4.4), (10, 92, 3.4), (13, 98, 1.4)]), white, relief=0.9, depth=2, grain=(0.1, 2, 4))
    body = union(
        tube([(32, 72, 14), (46, 73, 16), (62, 74, 16), (76, 70, 16)]),
        tube([(76, 66, 15), (86, 52, 12), (92, 42, 10)]),
        tube([(28, 76, 11), (28, 92, 6), (22, 102, 4)]),
    )
    c.paint(body, black, relief=1.9, depth=5, grain=(0.35, 4, 5))
    c.paint(
        union(
            tube([(74, 84, 8), (73, 98, 4.6), (72, 112, 3.8), (77, 114, 2.8)]),
            tube([(22, 102, 4), (26, 112, 3.6), (31, 114, 2.8)]),
        ),
        white,
        relief=1.1,
        depth=3,
        grain=(0.1, 3, 6),
    )
    c.paint(
        blob([(84, 46), (94, 52), (98, 62), (94, 78), (82, 88), (72, 84), (76, 66)]),
        white,
        relief=1.1,
        depth=4,
        grain=(0.14, 3, 7),
    )
    head = union(ellipse(96, 37, 13, 12), tube([(100, 40, 8), (110, 44, 6), (117, 46, 4.6)]))
    c.paint(head, black, relief=1.8, depth=4, grain=(0.15, 4, 4))
    c.haze(
        head
        * union(tube([(100, 24, 2), (106, 34, 3), (112, 40, 4)]), tube([(106, 46, 5), (114, 47, 5), (120, 47, 4)])),
        white,
        0.92,
    )
    c.paint(blob([(84, 28), (90, 22), (94, 28), (92, 42), (86, 50), (81, 42)]), (32, 30, 32), relief=1.6, depth=2)
    c.paint(tube([(103, 51.5, 0.7), (110, 51, 0.7), (117, 50, 0.6)]), (70, 50, 48))
    c.paint(blob([(107, 51), (113, 51), (114, 58), (110, 61), (107, 57)]), (216, 110, 116), relief=0.7, depth=1.5)
    c.paint(ellipse(120, 44, 2.8, 2.4), (22, 20, 20))
    c.paint(ellipse(103, 36, 2.4, 2.4), (120, 84, 46))
    eye(c, 103, 36, 1.7)
    return c.finish()
