"""From a file to the model's input: Auscult, pydicom with pylibjpeg, and DCMTK, for each compression, in turn.

    python3 -m venv /tmp/decoders
    /tmp/decoders/bin/pip install pydicom pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg pylibjpeg-rle pyjpegls \\
        imagecodecs numpy pillow
    cargo bench --bench preprocess --no-run        # prints where the executable is
    /tmp/decoders/bin/python benches/decoders.py target/release/deps/preprocess-... [ROUNDS]

The image is made here: 3000 x 2500, a smooth body with noise and edges, 12 bits in 16 (8 bits for JPEG baseline). DCMTK
(`dcmj2pnm`, for JPEG-LS `dcml2pnm`, and where it is there `dcm2img`) is measured where it is installed, with the time of an empty run of the
same program taken off; it writes a picture of 224 x 224. pydicom reads, decodes, applies window and resampling with NumPy
and Pillow. Rounds alternate between all, so that a machine that changes its pace hurts all alike; medians, and medians of
the ratios within a round. `raw limit` is reading the file from the page cache and one pass over its words.
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import imagecodecs
import numpy
import pydicom
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_voi_lut
from pydicom.uid import UID, ExplicitVRLittleEndian

ROWS, COLUMNS = 3000, 2500
SYNTAXES = {
    "uncompressed": "1.2.840.10008.1.2.1",
    "implicit": "1.2.840.10008.1.2",
    "big endian": "1.2.840.10008.1.2.2",
    "deflated": "1.2.840.10008.1.2.1.99",
    "RLE": "1.2.840.10008.1.2.5",
    "JPEG baseline": "1.2.840.10008.1.2.4.50",
    "JPEG extended": "1.2.840.10008.1.2.4.51",
    "JPEG lossless": "1.2.840.10008.1.2.4.57",
    "JPEG lossless SV1": "1.2.840.10008.1.2.4.70",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG-LS near": "1.2.840.10008.1.2.4.81",
    "JPEG 2000 lossless": "1.2.840.10008.1.2.4.90",
    "JPEG 2000": "1.2.840.10008.1.2.4.91",
    "HTJ2K lossless": "1.2.840.10008.1.2.4.201",
    "JPEG XL lossless": "1.2.840.10008.1.2.4.110",
}


def picture():
    """A trunk with ribs, a mediastinum and quantum noise, 0..4095, outside of it air."""
    random = numpy.random.default_rng(7)
    y, x = numpy.mgrid[0:ROWS, 0:COLUMNS].astype(numpy.float32)
    across, down = (x - COLUMNS / 2) / COLUMNS, y / ROWS
    body = 1 / (1 + numpy.exp((numpy.abs(across) - 0.44) * 60))
    lungs = numpy.exp(-(((numpy.abs(across) - 0.2) / 0.13) ** 2 + ((down - 0.45) / 0.3) ** 2) * 1.6)
    ribs = 0.08 * numpy.sin(down * 90 + numpy.abs(across) * 14) * lungs
    level = body * (2900 - 1700 * lungs + 1500 * ribs) + 150
    level += random.normal(0, 1, level.shape).astype(numpy.float32) * numpy.sqrt(level) * 0.35
    return numpy.clip(level, 0, 4095).astype(numpy.uint16)


def dataset(pixels, bits):
    ds = pydicom.Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", "2.25.7"
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    ds.Modality, ds.PatientOrientation = "DX", ["L", "F"]
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = (8 if bits == 8 else 16), bits, bits - 1, 0
    ds.WindowCenter, ds.WindowWidth = (128, 256) if bits == 8 else (2048, 4096)
    ds.PixelData = pixels.tobytes()
    return ds


def write(directory):
    """One file for each syntax; those that no encoder here can write are left out."""
    words = picture()
    plain, plain8 = directory / "uncompressed.dcm", directory / "plain8.dcm"
    dataset(words, 12).save_as(plain, enforce_file_format=True)
    dataset((words >> 4).astype(numpy.uint8), 8).save_as(plain8, enforce_file_format=True)
    dcmtk = {
        "implicit": ["dcmconv", "+ti"],
        "big endian": ["dcmconv", "+tb"],
        "deflated": ["dcmconv", "+td"],
        "RLE": ["dcmcrle"],
        "JPEG baseline": ["dcmcjpeg", "+eb", "+q", "95"],
        "JPEG extended": ["dcmcjpeg", "+ee", "+q", "95"],
        "JPEG lossless": ["dcmcjpeg", "+el", "+sv", "6"],
        "JPEG lossless SV1": ["dcmcjpeg", "+e1"],
        "JPEG-LS": ["dcmcjpls", "+el"],
        "JPEG-LS near": ["dcmcjpls", "+en", "+md", "2"],
    }
    streams = {
        "JPEG 2000 lossless": lambda: imagecodecs.jpeg2k_encode(words, codecformat="j2k", bitspersample=12, reversible=True, level=0),
        "JPEG 2000": lambda: imagecodecs.jpeg2k_encode(words, codecformat="j2k", bitspersample=12, level=48),
        "HTJ2K lossless": lambda: imagecodecs.htj2k_encode(words, reversible=True),
        "JPEG XL lossless": lambda: imagecodecs.jpegxl_encode(words, lossless=True, bitspersample=12, effort=3),
    }
    files = {"uncompressed": plain}
    for name, (program, *options) in dcmtk.items():
        target = directory / f"{name.replace(' ', '-')}.dcm"
        source = plain8 if name == "JPEG baseline" else plain
        if shutil.which(program) and subprocess.run([program, *options, source, target]).returncode == 0:
            files[name] = target
    for name, encode in streams.items():
        try:
            ds = dataset(words, 12)
            ds.PixelData = encapsulate([bytes(encode())])
        except Exception as error:
            print(f"{name} is left out: {error}")
            continue
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
        # pydicom does not know JPEG XL, so its files are written under another name of the same length.
        known = UID(SYNTAXES[name]) if UID(SYNTAXES[name]).is_transfer_syntax else UID(SYNTAXES["HTJ2K lossless"])
        ds.file_meta.TransferSyntaxUID = known
        files[name] = directory / f"{name.replace(' ', '-')}.dcm"
        ds.save_as(files[name], enforce_file_format=True)
        octets = files[name].read_bytes()
        files[name].write_bytes(octets.replace(known.encode(), SYNTAXES[name].encode(), 1))
    return {name: files[name] for name in SYNTAXES if name in files}


def pydicom_pylibjpeg(path):
    began = time.perf_counter()
    ds = pydicom.dcmread(path)
    if ds.file_meta.TransferSyntaxUID.is_encapsulated:
        # pyjpegls where pylibjpeg has no decoder.
        jpeg_ls = ds.file_meta.TransferSyntaxUID in (SYNTAXES["JPEG-LS"], SYNTAXES["JPEG-LS near"])
        ds.pixel_array_options(decoding_plugin="pyjpegls" if jpeg_ls else "pylibjpeg")
    pixels = ds.pixel_array
    levels = apply_voi_lut(pixels, ds).astype(numpy.float32)
    levels = (levels - levels.min()) / max(float(levels.max() - levels.min()), 1.0)
    small = numpy.asarray(Image.fromarray(levels).resize((224, 224), Image.BILINEAR))
    mean, deviation = (numpy.array(v, numpy.float32)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    assert ((small[None] - mean) / deviation).shape == (3, 224, 224)
    return (time.perf_counter() - began) * 1e3


class Station:
    def __init__(self, executable):
        self.child = subprocess.Popen([executable, "--station"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line):
        self.child.stdin.write(f"{line}\n")
        self.child.stdin.flush()
        return float(self.child.stdout.readline())


def dcmtk(program, path, target):
    """Milliseconds; none where the program cannot read it."""
    if program == "dcmj2pnm" and path.name.startswith("JPEG-LS"):
        program = "dcml2pnm"
    began = time.perf_counter()
    command = [program, "+Wi", "1", "+Sxv", "224", "+Syv", "224", path, target]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    took = (time.perf_counter() - began) * 1e3
    return took if done.returncode == 0 else None


def start_of(program):
    began = time.perf_counter()
    subprocess.run([program, "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1e3


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    station = Station(sys.argv[1])
    programs = [program for program in ("dcmj2pnm", "dcm2img") if shutil.which(program)]
    peers = ["pydicom", *programs]
    print(f"{'':<20}{'MB':>6}{'raw':>8}{'auscult':>9}{'of raw':>8}" + "".join(f"{p:>10}{'ratio':>7}" for p in peers))
    with tempfile.TemporaryDirectory() as directory:
        directory = Path(directory)
        for name, path in write(directory).items():
            rows = []
            for _ in range(rounds + 1):
                row = {"raw": station.ask(f"raw {path}"), "auscult": station.ask(path)}
                try:
                    row["pydicom"] = pydicom_pylibjpeg(path)
                except Exception:
                    row["pydicom"] = None
                for program in programs:
                    took = dcmtk(program, path, directory / "out.pgm")
                    row[program] = took and max(took - start_of(program), 0.1)
                rows.append(row)
            rows = rows[1:]
            middle = lambda of: statistics.median(map(of, rows))
            ours, raw = middle(lambda row: row["auscult"]), middle(lambda row: row["raw"])
            line = f"{name:<20}{path.stat().st_size / 1e6:>6.1f}{raw:>8.1f}{ours:>9.1f}"
            line += f"{middle(lambda row: row['auscult'] / row['raw']):>8.2f}"
            for peer in peers:
                if rows[0][peer] is None:
                    line += f"{'-':>10}{'-':>7}"
                else:
                    ratio = middle(lambda row: row["auscult"] / row[peer])
                    line += f"{middle(lambda row: row[peer]):>10.1f}{ratio:>7.2f}"
            print(line, flush=True)
    station.child.stdin.close()
    station.child.wait()


main()
