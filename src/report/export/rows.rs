//! Rows on their way to a file.

use std::io::{self, Write};

use super::format::{Cell, Format};

/// Rows are handed on in pieces of about this many bytes.
const PIECE: usize = 1 << 16;

/// Puts rows together and hands them on, many at a time.
pub(super) struct Rows<'a> {
    format: Format,
    /// What stands before the cell of each column.
    leads: Vec<Vec<u8>>,
    waiting: Vec<u8>,
    out: &'a mut dyn Write,
    bytes: u64,
}

impl<'a> Rows<'a> {
    /// Begins a file with these columns, the first of which has a cell in each row.
    pub fn start(format: Format, columns: &[String], out: &'a mut dyn Write) -> io::Result<Self> {
        let leads = columns.iter().enumerate();
        let mut rows = Self {
            format,
            leads: leads
                .map(|(index, name)| lead(format, index, name))
                .collect(),
            waiting: Vec::with_capacity(2 * PIECE),
            out,
            bytes: 0,
        };
        if format == Format::Csv {
            for (column, name) in columns.iter().enumerate() {
                rows.cell(column, name);
            }
            rows.end_row()?;
        }
        Ok(rows)
    }

    /// A cell as the format has it, to be written again and again.
    pub fn ready(&self, cell: &impl Cell) -> Vec<u8> {
        let mut bytes = Vec::new();
        cell.write(self.format, &mut bytes);
        bytes
    }

    /// Appends a cell; columns are to come in their order.
    pub fn cell(&mut self, column: usize, cell: &impl Cell) {
        self.waiting.extend_from_slice(&self.leads[column]);
        cell.write(self.format, &mut self.waiting);
    }

    /// Appends a cell that [`ready`](Self::ready) made.
    pub fn ready_cell(&mut self, column: usize, cell: &[u8]) {
        self.waiting.extend_from_slice(&self.leads[column]);
        self.waiting.extend_from_slice(cell);
    }

    /// Leaves a cell out.
    pub fn no_cell(&mut self, column: usize) {
        if self.format == Format::Csv {
            self.waiting.extend_from_slice(&self.leads[column]);
        }
    }

    /// Ends the row.
    pub fn end_row(&mut self) -> io::Result<()> {
        let end: &[u8] = match self.format {
            Format::Csv => b"\n",
            Format::JsonLines => b"}\n",
        };
        self.waiting.extend_from_slice(end);
        if self.waiting.len() < PIECE {
            return Ok(());
        }
        self.hand_on()
    }

    /// Hands on what is left; gives the number of bytes of all.
    pub fn finish(mut self) -> io::Result<u64> {
        self.hand_on()?;
        Ok(self.bytes)
    }

    fn hand_on(&mut self) -> io::Result<()> {
        self.out.write_all(&self.waiting)?;
        self.bytes += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }
}

fn lead(format: Format, column: usize, name: &String) -> Vec<u8> {
    let mut lead = Vec::new();
    match format {
        Format::Csv if column == 0 => {}
        Format::Csv => lead.push(b','),
        Format::JsonLines => {
            lead.push(if column == 0 { b'{' } else { b',' });
            name.write(format, &mut lead);
            lead.push(b':');
        }
    }
    lead
}
