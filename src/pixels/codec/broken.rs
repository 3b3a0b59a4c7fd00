//! What is wrong with pixel data: a fixed list, so that a decoder in another process has no text of its own to say.

use serde::{Deserialize, Serialize};

/// What is wrong with pixel data or its code stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub(in crate::pixels) enum Broken {
    // The form of the pixel data.
    #[error("the pixel data is encapsulated")]
    Encapsulated,
    #[error("the pixel data is not encapsulated")]
    NotEncapsulated,
    #[error("the data set before the pixel data is not sound")]
    Unsound,
    #[error("Pixel Data is neither OB nor OW")]
    NeitherBytesNorWords,
    #[error("Pixel Data is shorter than Rows, Columns and Bits Allocated say")]
    TooFewCells,
    #[error("the encapsulated pixel data is not made of fragments")]
    Fragments,
    #[error("the code stream is longer than the bound allows")]
    TooLong,
    #[error("the file cannot be read any more")]
    Unreadable,
    // What the code stream and the header say of each other.
    #[error("the code stream has another size than Rows and Columns say")]
    Size,
    #[error("the code stream has another precision than Bits Stored and Bits Allocated say")]
    Precision,
    #[error("the code stream has not the header's number of pixels")]
    PixelCount,
    #[error("the code stream has more than one component")]
    Components,
    #[error("the code stream has not one full-size component")]
    Subsampled,
    #[error("the code stream is signed, Pixel Representation says unsigned")]
    Signed,
    #[error("the number of segments does not fit Bits Allocated")]
    Segments,
    // Its markers.
    #[error("no start of image")]
    NoStartOfImage,
    #[error("no start of codestream")]
    NoStartOfCodestream,
    #[error("no frame header")]
    NoFrameHeader,
    #[error("no JPEG-LS frame header")]
    NoJpegLsFrameHeader,
    #[error("no scan")]
    NoScan,
    #[error("no marker where one must be")]
    NoMarker,
    #[error("a restart marker is missing")]
    NoRestartMarker,
    #[error("a restart interval of odd length, or not of whole lines")]
    RestartInterval,
    #[error("the stream ends within its marker segments")]
    MarkersCut,
    #[error("the frame header is cut")]
    FrameHeaderCut,
    #[error("the image and tile size is cut")]
    TileSizeCut,
    #[error("tiles of no size")]
    TilesOfNoSize,
    #[error("more tiles than a code stream can number")]
    TooManyTiles,
    #[error("several frames, or one that is turned")]
    FrameForm,
    #[error("a scan before its frame header")]
    ScanBeforeFrame,
    #[error("a JPEG process that DICOM does not use")]
    ForeignProcess,
    #[error("a process other than sequential Huffman coding")]
    NotSequential,
    #[error("a scan of no sequential process")]
    ScanNotSequential,
    #[error("a scan of a form that its process does not have, or DICOM does not use")]
    ScanForm,
    #[error("preset parameters other than coding parameters")]
    OtherPresets,
    #[error("preset coding parameters out of range")]
    PresetsOutOfRange,
    #[error("preset coding parameters are cut")]
    PresetsCut,
    // Its tables.
    #[error("a quantization table is cut")]
    QuantizationTableCut,
    #[error("a Huffman table is cut")]
    HuffmanTableCut,
    #[error("a Huffman table with more codes than there can be")]
    HuffmanTableTooLong,
    #[error("a table destination above 3")]
    TableDestination,
    #[error("a scan uses a table that the stream lacks")]
    NoTable,
    // Its data.
    #[error("the code stream is damaged")]
    Damaged,
    #[error("the code stream ends early")]
    EndsEarly,
    #[error("a segment is too short")]
    SegmentTooShort,
    #[error("a segment lies outside the stream")]
    SegmentOutside,
    #[error("a line ends early")]
    LineEndsEarly,
    #[error("a run is longer than its line")]
    RunTooLong,
    #[error("a code is longer than its limit")]
    CodeTooLong,
    #[error("a code that its Huffman table lacks")]
    NoSuchCode,
    #[error("no such context")]
    NoSuchContext,
    #[error("the statistics run out of range")]
    Statistics,
    #[error("an error value out of range")]
    ErrorValue,
    #[error("a DC value out of range")]
    DcValue,
    #[error("a coefficient of more than 16 bits")]
    Coefficient,
    #[error("more than 64 coefficients")]
    TooManyCoefficients,
    // Its decoder.
    #[error("the decoder gave up")]
    GaveUp,
}
