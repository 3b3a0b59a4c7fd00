//! The inside of a worker: a process that decodes what it is asked to until the service hangs up.

use std::io;
use std::os::fd::AsFd;

use rustix::net::sockopt::socket_domain;

use super::canvas::Painting;
use super::confinement::{Limits, confine};
use super::message::{Answer, Request, answer, asked};
use crate::background;
use crate::part10::Content;
use crate::pixels::Bounds;
use crate::pixels::codec::{Broken, Rows};

/// Works for the service that started this process with a socket as standard input and a canvas as standard output.
///
/// # Errors
/// Where standard input is no such socket and standard output no such canvas, and where the operating system does not let the
/// process be confined.
pub fn work(bounds: &Bounds) -> io::Result<()> {
    let (socket, limits) = (io::stdin(), Limits::of(bounds));
    socket_domain(&socket)?;
    let mut canvas = Painting::on(io::stdout().as_fd(), limits.canvas)?;
    background::give_way();
    match confine(&limits) {
        Ok(confinement) => answer(&socket, &Answer::Ready(confinement))?,
        Err(error) => return answer(&socket, &Answer::NotConfined(error.raw_os_error().unwrap_or_default())),
    }
    while let Some((request, file)) = asked(socket.as_fd())? {
        let file = Content::within(file.into(), request.items);
        let said = file.map_err(|_| Broken::Unreadable).and_then(|mut items| paint(&request, &mut items, &mut canvas));
        answer(&socket, &said.unwrap_or_else(Answer::Broken))?;
    }
    Ok(())
}

/// Decodes an image onto the canvas.
fn paint(request: &Request, items: &mut Content, canvas: &mut Painting) -> Result<Answer, Broken> {
    let mut brush = Brush { rest: canvas.octets(), cell_bytes: 1 };
    let Request { codec, header, longest, coarsest, .. } = request;
    let decoded = codec.decode(items, *longest, header, *coarsest, &mut brush)?;
    Ok(Answer::Decoded { cell_bytes: brush.cell_bytes, decoded })
}

/// Puts rows onto the canvas, one behind the other.
struct Brush<'a> {
    /// What of the canvas is not painted yet.
    rest: &'a mut [u8],
    cell_bytes: usize,
}

impl Brush<'_> {
    /// Room for so many octets more.
    fn room(&mut self, octets: usize) -> Result<&mut [u8], Broken> {
        let (room, rest) = std::mem::take(&mut self.rest).split_at_mut_checked(octets).ok_or(Broken::GaveUp)?;
        self.rest = rest;
        Ok(room)
    }
}

impl Rows for Brush<'_> {
    fn bytes(&mut self, cells: &[u8]) -> Result<(), Broken> {
        self.room(cells.len())?.copy_from_slice(cells);
        Ok(())
    }

    fn words(&mut self, cells: &[u16]) -> Result<(), Broken> {
        self.cell_bytes = 2;
        let (pairs, _) = self.room(2 * cells.len())?.as_chunks_mut();
        pairs.iter_mut().zip(cells).for_each(|(pair, cell)| *pair = cell.to_le_bytes());
        Ok(())
    }
}
