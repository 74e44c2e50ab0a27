"""Scenes with airplanes, automobiles, ships and trucks."""

from .canvas import EVERYWHERE, Canvas, blob, ellipse, polygon, tube


def sky(c, top, bottom, clouds):
    """A sky from colour `top` to colour `bottom` with soft clouds, each an (x, y, rx, ry) ellipse."""
    c.gradient([(0, top), (128, bottom)])
    for x, y, rx, ry in clouds:
        c.glow(ellipse(x, y, rx, ry), (250, 250, 252), 0.5, 5)


def airliner(seed):
    """A white airliner climbing to the left in a blue sky."""
    c = Canvas(seed)
    sky(c, (62, 118, 186), (158, 196, 230), [(20, 112, 34, 7), (96, 118, 40, 8), (104, 22, 26, 5)])
    c.paint(polygon([(66, 62), (92, 34), (99, 34), (86, 62)]), (150, 160, 174))
    c.paint(polygon([(98, 60), (109, 30), (120, 28), (116, 58)]), (40, 66, 140), relief=0.4)
    c.paint(polygon([(104, 58), (120, 48), (126, 48), (116, 60)]), (150, 158, 172))
    body = tube([(12, 73, 4), (18, 71, 7.5), (32, 69, 9.5), (60, 66, 10), (90, 61, 8), (110, 57, 5), (120, 54, 2)])
    c.paint(body, (236, 238, 242), relief=1.5, depth=5)
    c.haze(body * polygon([(0, 84), (128, 62), (128, 90), (0, 92)]), (120, 130, 150), 0.5)
    c.paint(tube([(16, 72, 0.8), (60, 67, 1), (112, 57, 0.8)]), (40, 66, 140))
    for i in range(18):
        c.paint(ellipse(28 + 4.4 * i, 67.3 - 0.5 * i - 0.012 * i * i, 1, 1.2), (60, 72, 92))
    c.paint(polygon([(12, 69), (18, 66), (21, 68), (14, 71)]), (40, 50, 70))
    c.paint(tube([(52, 85, 3.5), (62, 84, 4.2), (68, 83, 3.4)]), (112, 122, 140), relief=1.2, depth=2)
    c.paint(polygon([(48, 72), (72, 70), (112, 100), (102, 102)]), (176, 184, 196), relief=0.8, depth=2)
    c.paint(polygon([(106, 58), (117, 56), (126, 66), (119, 67)]), (170, 178, 192), relief=0.6, depth=2)
    return c.finish()


def jet(seed):
    """A grey fighter, seen from the side and a little above, in a pale sky."""
    c = Canvas(seed)
    sky(c, (168, 194, 220), (226, 234, 240), [(30, 20, 40, 8), (100, 110, 44, 9)])
    c.paint(polygon([(60, 62), (84, 40), (94, 40), (88, 62)]), (92, 98, 106))
    c.paint(polygon([(92, 60), (108, 28), (119, 26), (116, 58)]), (88, 94, 102), relief=0.5)
    body = tube([(4, 74, 0.6), (14, 73, 2.5), (28, 71, 5), (48, 68, 7.5), (80, 66, 8), (106, 62, 6.5), (118, 60, 4.5)])
    c.paint(body, (128, 134, 142), relief=1.5, depth=5, grain=(0.06, 12, 6))
    c.paint(tube([(24, 67, 1.5), (32, 63, 3.6), (42, 62, 3.4), (52, 62.5, 1.5)]), (34, 44, 58), relief=1.2, depth=2)
    c.paint(polygon([(44, 72), (58, 70), (60, 77), (46, 78)]), (58, 62, 70))
    c.paint(ellipse(119, 60, 3, 4.4), (46, 44, 44))
    c.paint(polygon([(44, 74), (78, 70), (108, 92), (86, 98)]), (104, 110, 120), relief=0.8, depth=2)
    c.paint(polygon([(98, 66), (114, 64), (126, 74), (112, 76)]), (98, 104, 112), relief=0.6, depth=2)
    return c.finish()


def wheel(c, x, y, radius, squeeze=1.0):
    """A tyre with its hub; `squeeze` narrows it for a wheel that is turned away."""
    c.paint(ellipse(x, y, radius * squeeze, radius), (26, 26, 28), relief=0.5, depth=1.5)
    c.paint(ellipse(x, y, radius * squeeze * 0.58, radius * 0.58), (178, 182, 188), relief=1.0, depth=1.5)
    c.paint(ellipse(x, y, radius * squeeze * 0.2, radius * 0.2), (80, 84, 90))


def road(c, horizon, far, grass, asphalt):
    """A sky or hedge above the horizon, a strip of grass, then road."""
    c.gradient(
        [
            (0, far[0]),
            (horizon - 6, far[1]),
            (horizon - 5.9, grass),
            (horizon, grass),
            (horizon + 0.1, asphalt),
            (128, tuple(0.82 * v for v in asphalt)),
        ]
    )
    c.texture(EVERYWHERE, 0.07, 14, 3)


def hatchback(seed):
    """A red car at three quarters, front to the left, on a road before a hedge."""
    c = Canvas(seed)
    road(c, 62, ((176, 202, 226), (206, 218, 226)), (84, 112, 60), (148, 146, 142))
    c.paint(
        blob([(-6, 60), (-6, 40), (20, 30), (46, 38), (74, 28), (104, 36), (134, 28), (134, 60)]),
        (62, 88, 52),
        relief=0.5,
        grain=(0.3, 6, 5),
    )
    c.shadow(ellipse(64, 103, 58, 8), 0.75, 3)
    red = (196, 30, 34)
    c.paint(
        blob(
            [
                (5, 78),
                (10, 68),
                (30, 62),
                (44, 58),
                (58, 40),
                (80, 36),
                (104, 38),
                (117, 54),
                (124, 66),
                (124, 88),
                (112, 98),
                (60, 104),
                (20, 102),
                (7, 96),
            ]
        ),
        red,
        relief=1.4,
        depth=6,
    )
    c.haze(polygon([(8, 92), (60, 97), (124, 84), (124, 96), (62, 106), (10, 104)]), (60, 8, 14), 0.45)
    c.paint(polygon([(34, 62), (50, 45), (57, 41), (76, 41), (70, 62), (52, 64)]), (52, 66, 80), relief=0.5)
    c.haze(polygon([(48, 58), (60, 43), (68, 43), (58, 60)]), (190, 206, 220), 0.45)
    c.paint(polygon([(75, 61), (81, 42), (93, 42), (94, 59)]), (36, 44, 54), relief=0.4)
    c.paint(polygon([(97, 59), (96, 42), (103, 43), (113, 56)]), (36, 44, 54), relief=0.4)
    c.paint(tube([(72, 66, 0.4), (74, 84, 0.4), (76, 96, 0.4)]), (120, 12, 18))
    c.paint(tube([(96, 62, 0.4), (98, 76, 0.4), (95, 90, 0.4)]), (120, 12, 18))
    c.paint(tube([(36, 62, 1), (52, 66, 1), (70, 64, 1)]), (230, 90, 90))
    c.paint(blob([(10, 84), (30, 87), (46, 88), (44, 94), (28, 94), (11, 91)]), (34, 30, 32))
    c.paint(blob([(7, 74), (15, 72), (18, 78), (10, 81)]), (240, 240, 228), relief=0.8, depth=1.5)
    c.paint(blob([(40, 77), (54, 76), (56, 82), (44, 84)]), (240, 240, 228), relief=0.8, depth=1.5)
    c.paint(polygon([(20, 95), (34, 96), (34, 100), (20, 99)]), (230, 230, 226))
    c.paint(ellipse(64, 94, 9, 12), (60, 10, 14))
    wheel(c, 63, 96, 10.5, squeeze=0.72)
    c.paint(ellipse(110, 84, 8, 12), (60, 10, 14))
    wheel(c, 110, 86, 10, squeeze=0.66)
    c.paint(polygon([(70, 60), (76, 58), (77, 64), (71, 65)]), red, relief=0.8, depth=1)
    return c.finish()


def saloon(seed):
    """A silver-blue saloon from the side, on tarmac."""
    c = Canvas(seed)
    road(c, 66, ((188, 204, 216), (214, 220, 222)), (104, 118, 76), (128, 126, 124))
    c.paint(
        polygon([(0, 62), (0, 30), (34, 30), (34, 22), (80, 22), (80, 34), (128, 34), (128, 62)]),
        (170, 156, 140),
        grain=(0.08, 8, 8),
    )
    c.shadow(ellipse(64, 99, 62, 6), 0.8, 2.5)
    blue = (86, 128, 176)
    c.paint(
        blob(
            [
                (4, 84),
                (5, 72),
                (16, 66),
                (36, 62),
                (52, 45),
                (72, 42),
                (90, 46),
                (104, 61),
                (119, 64),
                (124, 74),
                (124, 90),
                (112, 96),
                (64, 97),
                (16, 97),
                (5, 92),
            ]
        ),
        blue,
        relief=1.5,
        depth=6,
    )
    c.haze(polygon([(4, 88), (124, 86), (124, 98), (4, 98)]), (26, 40, 66), 0.5)
    c.paint(polygon([(42, 62), (55, 48), (69, 46), (69, 62)]), (38, 46, 56), relief=0.5)
    c.paint(polygon([(73, 62), (73, 46), (87, 49), (98, 61)]), (38, 46, 56), relief=0.5)
    c.haze(polygon([(46, 62), (57, 49), (62, 48), (54, 62)]), (190, 206, 220), 0.4)
    c.paint(tube([(8, 73, 0.6), (64, 70, 0.6), (121, 72, 0.6)]), (170, 200, 230))
    c.paint(tube([(71, 64, 0.4), (71, 80, 0.4), (70, 92, 0.4)]), (44, 70, 108))
    c.paint(tube([(41, 66, 0.4), (42, 80, 0.4), (46, 90, 0.4)]), (44, 70, 108))
    c.paint(blob([(5, 73), (12, 71), (13, 77), (5, 79)]), (244, 240, 220), relief=0.6, depth=1.5)
    c.paint(blob([(119, 70), (124, 71), (124, 79), (119, 78)]), (190, 30, 34))
    c.paint(tube([(3, 89, 2), (14, 90, 2)]), (60, 68, 80))
    c.paint(tube([(114, 89, 2), (125, 87, 2)]), (60, 68, 80))
    for x in (28, 99):
        c.paint(ellipse(x, 91, 12.5, 12.5), (24, 34, 52))
        wheel(c, x, 93, 10.5)
    return c.finish()


def sea(c, horizon, sky_top, sky_bottom, far, near):
    """Sky over water with waves that grow towards the viewer."""
    c.gradient([(0, sky_top), (horizon, sky_bottom), (horizon + 0.1, far), (128, near)])
    water = polygon([(0, horizon), (128, horizon), (128, 128), (0, 128)])
    c.texture(water, 0.1, 22, 3)
    c.texture(water * polygon([(0, 96), (128, 96), (128, 128), (0, 128)]), 0.12, 30, 5)


def freighter(seed):
    """A cargo ship with a red and black hull on a grey-blue sea."""
    c = Canvas(seed)
    sea(c, 72, (150, 184, 214), (208, 222, 232), (70, 104, 134), (44, 78, 108))
    c.shadow(polygon([(4, 92), (122, 92), (114, 106), (14, 106)]), 0.5, 3)
    c.paint(polygon([(88, 68), (88, 34), (110, 34), (112, 68)]), (236, 236, 230), relief=0.9, depth=3)
    for y in (39, 46, 53):
        c.paint(polygon([(90, y), (109, y), (109, y + 2.5), (90, y + 2.5)]), (70, 84, 100))
    c.paint(polygon([(100, 34), (100, 22), (108, 22), (109, 34)]), (200, 90, 36), relief=0.8, depth=2)
    c.paint(polygon([(100, 22), (100, 25), (108, 25), (108, 22)]), (30, 30, 32))
    boxes = [
        (176, 70, 50),
        (64, 110, 150),
        (196, 160, 70),
        (90, 130, 90),
        (150, 60, 66),
        (120, 124, 130),
        (60, 90, 140),
    ]
    for i in range(10):
        for row in range(2 if i % 4 else 1):
            x, y = 14 + 7.2 * i, 62 - 8 * row
            c.paint(
                polygon([(x, y), (x + 6.6, y), (x + 6.6, y + 7.6), (x, y + 7.6)]),
                boxes[(i * 3 + row * 2) % 7],
                relief=0.5,
                depth=1,
            )
    c.paint(tube([(16, 68, 0.6), (16, 50, 0.6), (16, 36, 0.6)]), (90, 90, 92))
    hull = polygon([(2, 66), (14, 69), (118, 69), (124, 67), (118, 94), (14, 94), (8, 84)])
    c.paint(hull, (42, 48, 60), relief=0.9, depth=4, grain=(0.06, 8, 20))
    c.paint(hull * polygon([(0, 86), (128, 86), (128, 96), (0, 96)]), (150, 44, 38))
    c.paint(tube([(5, 70, 0.7), (60, 71, 0.7), (120, 70.5, 0.7)]), (220, 220, 214))
    c.glow(tube([(4, 95, 1.2), (40, 95.5, 1.4), (80, 95, 1.2), (122, 95, 2)]), (235, 242, 246), 0.8, 0.8)
    return c.finish()


def motorboat(seed):
    """A white motor boat with a cabin on a blue sea."""
    c = Canvas(seed)
    sea(c, 58, (120, 170, 216), (200, 220, 236), (52, 104, 150), (34, 84, 132))
    c.paint(blob([(-8, 58), (10, 52), (36, 54), (60, 57), (60, 60), (-8, 60)]), (92, 112, 120))
    c.shadow(polygon([(8, 88), (116, 88), (106, 104), (24, 104)]), 0.55, 3)
    c.paint(polygon([(44, 62), (52, 42), (88, 42), (98, 64)]), (238, 240, 240), relief=0.9, depth=3)
    c.paint(polygon([(48, 57), (53, 46), (66, 46), (66, 57)]), (44, 60, 78))
    c.paint(polygon([(69, 57), (69, 46), (85, 46), (90, 57)]), (44, 60, 78))
    c.paint(polygon([(50, 42), (54, 36), (86, 36), (92, 42)]), (226, 230, 232), relief=0.6, depth=2)
    c.paint(tube([(68, 36, 0.8), (68, 24, 0.7), (68, 12, 0.5)]), (110, 114, 118))
    c.paint(tube([(60, 22, 0.6), (68, 21, 0.6), (77, 22, 0.6)]), (110, 114, 118))
    hull = blob([(3, 62), (30, 64), (70, 65), (112, 62), (122, 62), (118, 80), (110, 94), (60, 96), (28, 94), (14, 82)])
    c.paint(hull, (240, 242, 242), relief=1.4, depth=5)
    c.haze(hull * polygon([(0, 84), (128, 84), (128, 98), (0, 98)]), (36, 60, 100), 0.85)
    c.paint(tube([(10, 70, 0.9), (60, 73, 0.9), (118, 70, 0.9)]), (40, 80, 140))
    c.paint(tube([(6, 62, 0.5), (16, 53, 0.5), (44, 55, 0.5)]), (150, 156, 160))
    c.glow(blob([(14, 94), (40, 92), (80, 95), (118, 92), (124, 98), (70, 101), (20, 100)]), (240, 246, 250), 0.75, 1.2)
    return c.finish()


def box_truck(seed):
    """A white box lorry at three quarters, cab to the left, on a road."""
    c = Canvas(seed)
    road(c, 78, ((120, 164, 208), (196, 212, 222)), (98, 116, 70), (124, 122, 120))
    c.paint(
        blob([(-6, 78), (-6, 58), (20, 52), (50, 60), (90, 54), (134, 56), (134, 78)]),
        (70, 92, 66),
        relief=0.4,
        grain=(0.25, 6, 5),
    )
    c.shadow(polygon([(6, 106), (120, 96), (126, 102), (20, 114)]), 0.8, 3)
    c.paint(
        polygon([(44, 18), (122, 28), (122, 90), (44, 96)]), (228, 230, 230), relief=0.5, depth=3, grain=(0.03, 5, 40)
    )
    c.paint(polygon([(30, 24), (44, 18), (44, 94), (30, 92)]), (168, 174, 180))
    for i in range(1, 7):
        x = 44 + 78 * i / 7
        c.paint(tube([(x, 18 + 10 * i / 7, 0.25), (x, 60, 0.25), (x, 96 - 6 * i / 7, 0.25)]), (190, 194, 198))
    c.paint(polygon([(44, 52), (122, 54), (122, 62), (44, 64)]), (36, 92, 160))
    c.paint(polygon([(44, 94), (122, 88), (122, 95), (44, 103)]), (54, 56, 60))
    cab = polygon([(6, 56), (12, 38), (36, 36), (50, 42), (50, 102), (38, 106), (6, 104)])
    c.paint(cab, (240, 240, 238), relief=0.8, depth=3)
    c.haze(polygon([(36, 36), (50, 42), (50, 102), (36, 106)]), (150, 156, 164), 0.5)
    c.paint(polygon([(9, 60), (14, 42), (34, 40), (34, 60)]), (40, 52, 66), relief=0.5)
    c.haze(polygon([(12, 59), (18, 42), (25, 41), (20, 59)]), (180, 200, 216), 0.4)
    c.paint(polygon([(38, 60), (38, 43), (47, 46), (48, 61)]), (40, 50, 62))
    c.paint(polygon([(10, 70), (32, 70), (32, 84), (10, 83)]), (44, 46, 50))
    for y in (73, 77, 81):
        c.paint(tube([(11, y, 0.5), (21, y, 0.5), (31, y, 0.5)]), (150, 154, 158))
    c.paint(ellipse(9, 90, 2.6, 3), (246, 244, 220))
    c.paint(ellipse(33, 91, 3, 3), (246, 244, 220))
    c.paint(polygon([(5, 95), (38, 97), (38, 105), (5, 103)]), (70, 74, 80), relief=0.6, depth=2)
    for x, y, radius in ((46, 102, 10), (92, 95, 9), (108, 93, 9)):
        c.paint(ellipse(x, y - 1, radius * 0.85, radius + 1), (30, 32, 34))
        wheel(c, x, y, radius, squeeze=0.7)
    return c.finish()


def red_lorry(seed):
    """A red tipper lorry from the side, cab to the right."""
    c = Canvas(seed)
    road(c, 80, ((190, 208, 222), (226, 230, 230)), (120, 124, 92), (142, 136, 128))
    c.shadow(ellipse(64, 107, 60, 6), 0.8, 2.5)
    c.paint(polygon([(8, 88), (120, 88), (120, 98), (8, 98)]), (44, 44, 48))
    c.paint(polygon([(4, 38), (78, 34), (80, 86), (12, 88)]), (204, 158, 40), relief=0.7, depth=3, grain=(0.08, 10, 14))
    for i in range(6):
        x = 14 + 12.5 * i
        c.paint(tube([(x, 40, 0.9), (x + 0.6, 62, 0.9), (x + 1.2, 85, 0.9)]), (160, 118, 26))
    c.paint(tube([(4, 38, 1.6), (40, 36, 1.6), (78, 34, 1.6)]), (226, 184, 70))
    c.paint(blob([(6, 38), (20, 28), (40, 24), (62, 26), (76, 35)]), (122, 94, 66), relief=0.8, grain=(0.25, 4, 4))
    c.paint(
        polygon([(84, 36), (108, 36), (118, 58), (122, 64), (122, 98), (84, 98)]), (190, 34, 32), relief=0.9, depth=4
    )
    c.paint(polygon([(91, 42), (106, 42), (113, 60), (91, 60)]), (40, 52, 64), relief=0.5)
    c.haze(polygon([(95, 60), (102, 42), (106, 43), (102, 60)]), (190, 206, 218), 0.4)
    c.paint(tube([(89, 40, 0.4), (89, 66, 0.4), (90, 94, 0.4)]), (120, 16, 18))
    c.paint(polygon([(116, 82), (123, 82), (123, 89), (117, 89)]), (246, 240, 214))
    c.paint(polygon([(108, 93), (125, 93), (125, 100), (108, 100)]), (70, 72, 76), relief=0.5, depth=1.5)
    c.paint(tube([(82, 84, 1.2), (82, 50, 1.2), (82, 22, 1.2)]), (150, 152, 156))
    for x in (24, 46, 102):
        c.paint(ellipse(x, 98, 12, 12), (28, 28, 30))
        wheel(c, x, 100, 10.5)
    return c.finish()
