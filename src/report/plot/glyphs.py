"""Writes glyphs.txt, the letters that pictures are drawn with, from Roboto-Regular.ttf 2.138.

    python glyphs.py Roboto-Regular.ttf > glyphs.txt    (needs fontTools; the font is Debian's
                                                         package fonts-roboto-unhinted)

One line a character: its code point, its advance width, and its outline as an SVG path of relative
moves (m), lines (l) and quadratic curves (q), in units of which an em has 2048; y grows upwards. Every
m begins a contour, and every contour is closed. The last line, without a code point, stands for every
other character.
"""

import sys

from fontTools.pens.basePen import BasePen
from fontTools.ttLib import TTFont

HEADER = """\
# Outlines of Roboto Regular 2.138, made by glyphs.py, which says how to read them.
# Copyright 2011 Google Inc. All Rights Reserved. Licensed under the Apache License, Version 2.0.
"""
RANGES = [
    (0x20, 0x7E),  # ASCII
    (0xA0, 0x17F),  # Latin-1, Latin Extended-A
    (0x370, 0x3FF),  # Greek
    (0x400, 0x45F),  # Cyrillic
    (0x2010, 0x2027),  # dashes, quotation marks, the ellipsis
    (0x2030, 0x203A),
    (0x2070, 0x208E),  # superscripts and subscripts
    (0x20AC, 0x20AC),  # the euro sign
    (0x2200, 0x22FF),  # mathematical operators
]


class RelativePath(BasePen):
    def __init__(self, glyphs):
        super().__init__(glyphs)
        self.path, self.at = "", (0, 0)

    def add(self, command, *points):
        x, y = self.at
        numbers = (f"{px - x} {py - y}" for px, py in points)
        self.path += command + " ".join(numbers)
        self.at = points[-1]

    def _moveTo(self, point):
        self.add("m", point)

    def _lineTo(self, point):
        self.add("l", point)

    def _qCurveToOne(self, control, point):
        # Implied points lie half-way between two controls.
        self.add("q", tuple(map(round, control)), tuple(map(round, point)))


def line(name, code, font, glyphs):
    pen = RelativePath(glyphs)
    glyphs[name].draw(pen)
    return f"{code} {font['hmtx'][name][0]} {pen.path}".rstrip()


def main():
    font = TTFont(sys.argv[1])
    glyphs, names = font.getGlyphSet(), font.getBestCmap()
    print(HEADER, end="")
    for first, last in RANGES:
        for code in range(first, last + 1):
            if code in names:
                print(line(names[code], f"{code:x}", font, glyphs))
    print(line(".notdef", "-", font, glyphs))


main()
