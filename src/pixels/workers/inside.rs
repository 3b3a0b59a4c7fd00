//! The inside of a worker: a process that decodes what it is asked to until the service hangs up.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use rustix::net::sockopt::socket_domain;

use super::confinement::{Limits, confine};
use super::message::{Answer, Request, answer, asked};
use crate::background;
use crate::part10::Content;
use crate::pixels::Bounds;
use crate::pixels::codec::Broken;
use crate::pixels::samples::Cells;

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
fn paint(request: &Request, items: &mut Content, canvas: &std::fs::File) -> Result<Answer, Broken> {
    let decoded = request.codec.decode(items, request.longest, &request.header)?;
    let (cell_bytes, written) = match decoded.cells {
        Cells::Bytes(cells) => (1, canvas.write_all_at(&cells, 0)),
        Cells::Words(mut cells) => {
            cells.iter_mut().for_each(|cell| *cell = cell.to_le());
            (2, canvas.write_all_at(bytemuck::cast_slice(&cells), 0))
        }
    };
    written.map_err(|_| Broken::GaveUp)?;
    Ok(Answer::Decoded { cell_bytes, precision: decoded.precision })
}
