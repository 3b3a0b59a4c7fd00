//! The inside of a worker: a process that decodes what it is asked to until the service hangs up.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use rustix::net::sockopt::socket_domain;

use super::confinement::{Limits, confine};
use super::message::{Answer, Request, answer, asked};
use crate::background;
use crate::part10::Content;
use crate::pixels::Bounds;
use crate::pixels::codec::{Broken, Rows};

/// Octets that are put onto the canvas at once.
const STRIPE_BYTES: usize = 256 << 10;

/// Works for the service that started this process with a socket as standard input and a canvas as standard output.
///
/// # Errors
/// Where standard input is no such socket, and where the operating system does not let the process be confined.
pub fn work(bounds: &Bounds) -> io::Result<()> {
    let (socket, canvas) = (io::stdin(), io::stdout().as_fd().try_clone_to_owned()?.into());
    socket_domain(&socket)?;
    background::give_way();
    match confine(&Limits::of(bounds)) {
        Ok(confinement) => answer(&socket, &Answer::Ready(confinement))?,
        Err(error) => return answer(&socket, &Answer::NotConfined(error.raw_os_error().unwrap_or_default())),
    }
    while let Some((request, file)) = asked(socket.as_fd())? {
        let file = Content::within(file.into(), request.items);
        let said = file.map_err(|_| Broken::Unreadable).and_then(|mut items| paint(&request, &mut items, &canvas));
        answer(&socket, &said.unwrap_or_else(Answer::Broken))?;
    }
    Ok(())
}

/// Decodes an image onto the canvas.
fn paint(request: &Request, items: &mut Content, canvas: &File) -> Result<Answer, Broken> {
    let mut brush = Brush { canvas, at: 0, cell_bytes: 1, stripe: Vec::with_capacity(STRIPE_BYTES) };
    let Request { codec, header, longest, coarsest, .. } = request;
    let decoded = codec.decode(items, *longest, header, *coarsest, &mut brush)?;
    brush.paint()?;
    Ok(Answer::Decoded { cell_bytes: brush.cell_bytes, decoded })
}

/// Puts rows onto the canvas, a stripe at a time.
struct Brush<'a> {
    canvas: &'a File,
    /// Where the stripe in hand begins.
    at: u64,
    cell_bytes: usize,
    stripe: Vec<u8>,
}

impl Brush<'_> {
    fn paint(&mut self) -> Result<(), Broken> {
        self.canvas.write_all_at(&self.stripe, self.at).map_err(|_| Broken::GaveUp)?;
        self.at += self.stripe.len() as u64;
        self.stripe.clear();
        Ok(())
    }

    /// Room for the octets of another row.
    fn room(&mut self, octets: usize) -> Result<&mut [u8], Broken> {
        if self.stripe.len() + octets > STRIPE_BYTES {
            self.paint()?;
        }
        let begin = self.stripe.len();
        self.stripe.resize(begin + octets, 0);
        Ok(self.stripe.get_mut(begin..).unwrap_or_default())
    }
}

impl Rows for Brush<'_> {
    fn bytes(&mut self, cells: &[u8]) -> Result<(), Broken> {
        for part in cells.chunks(STRIPE_BYTES) {
            self.room(part.len())?.copy_from_slice(part);
        }
        Ok(())
    }

    fn words(&mut self, cells: &[u16]) -> Result<(), Broken> {
        self.cell_bytes = 2;
        for part in cells.chunks(STRIPE_BYTES / 2) {
            let (pairs, _) = self.room(2 * part.len())?.as_chunks_mut();
            pairs.iter_mut().zip(part).for_each(|(pair, cell)| *pair = cell.to_le_bytes());
        }
        Ok(())
    }
}
