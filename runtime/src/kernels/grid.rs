//! Where pixels are, in an input, an output or a shortcut.

/// Where pixels are: pixel `p` starts at `start + p / width * row + p % width * column`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Place of the first pixel.
    pub start: usize,
    /// Pixels of a row, at least 1.
    pub width: usize,
    /// Distance between rows.
    pub row: usize,
    /// Distance between pixels of a row.
    pub column: usize,
}

impl Grid {
    /// Pixels `distance` apart, without rows.
    #[must_use]
    pub const fn line(start: usize, distance: usize) -> Self {
        Self { start, width: usize::MAX, row: 0, column: distance }
    }

    /// Where a pixel starts.
    #[inline(always)]
    #[must_use]
    pub const fn place(&self, pixel: usize) -> usize {
        if pixel < self.width {
            return self.start + pixel * self.column;
        }
        match (pixel.checked_div(self.width), pixel.checked_rem(self.width)) {
            (Some(row), Some(column)) => self.place_of_row(row, column),
            _ => self.start,
        }
    }

    /// The places of all pixels in order, without a division for each.
    #[inline(always)]
    #[must_use]
    pub const fn places(self) -> Places {
        Places { grid: self, row: self.start, column: 0, place: self.start }
    }

    /// The places of the pixels from `pixel` on.
    #[inline(always)]
    #[must_use]
    pub const fn places_from(self, pixel: usize) -> Places {
        let column = match pixel.checked_rem(self.width) {
            Some(column) if pixel >= self.width => column,
            _ => pixel,
        };
        let place = self.place(pixel);
        Places { grid: self, row: place - column * self.column, column, place }
    }

    /// Where the pixel at a row and a column starts.
    #[inline(always)]
    #[must_use]
    pub const fn place_of_row(&self, row: usize, column: usize) -> usize {
        self.start + row * self.row + column * self.column
    }

    /// The same, `None` past the address space: for places that are checked once, before code that trusts them.
    #[inline(always)]
    #[must_use]
    pub fn checked_place_of_row(&self, row: usize, column: usize) -> Option<usize> {
        row.checked_mul(self.row)?.checked_add(column.checked_mul(self.column)?)?.checked_add(self.start)
    }

    /// The highest place of the first `pixels` pixels: that of the last one, or of the last in a row above. `None` without pixels, and
    /// past the address space.
    #[must_use]
    pub fn highest_place(&self, pixels: usize) -> Option<usize> {
        let last = pixels.checked_sub(1)?;
        let (row, column) = (last.checked_div(self.width)?, last.checked_rem(self.width)?);
        let above = if row > 0 { self.checked_place_of_row(row - 1, self.width - 1)? } else { 0 };
        Some(self.checked_place_of_row(row, column)?.max(above))
    }
}

/// An iterator over the places of a grid's pixels, without an end.
#[derive(Debug, Clone)]
pub struct Places {
    grid: Grid,
    /// Where the current row starts.
    row: usize,
    /// Column of the next pixel.
    column: usize,
    /// Its place.
    place: usize,
}

impl Iterator for Places {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let [place] = self.group();
        Some(place)
    }
}

impl Places {
    /// The places of the next `N` pixels; little is to do for each when they are in one row.
    #[inline(always)]
    pub fn group<const N: usize>(&mut self) -> [usize; N] {
        let mut places = [self.place; N];
        if self.grid.width - self.column >= N {
            for (index, place) in places.iter_mut().enumerate() {
                *place += index * self.grid.column;
            }
            self.advance(N);
        } else {
            for place in &mut places {
                *place = self.place;
                self.advance(1);
            }
        }
        places
    }

    /// The places of the next pixels, one row's after the other.
    #[inline(always)]
    pub fn fill(&mut self, mut places: &mut [usize]) {
        while !places.is_empty() {
            let pixels = places.len().min(self.grid.width - self.column);
            let (row, rest) = places.split_at_mut(pixels);
            let mut next = self.place;
            for place in row {
                *place = next;
                next += self.grid.column;
            }
            self.advance(pixels);
            places = rest;
        }
    }

    /// Goes on by some pixels, at most to the start of the next row.
    #[inline(always)]
    const fn advance(&mut self, pixels: usize) {
        self.column += pixels;
        self.place += pixels * self.grid.column;
        if self.column == self.grid.width {
            self.row += self.grid.row;
            (self.column, self.place) = (0, self.row);
        }
    }
}
