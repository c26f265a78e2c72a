//! A blob as it comes from a registry: digest and size, and how it is packed.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

use super::{Layer, LayerFault, Limits, limit, tar};
use crate::{crypto::digest::Digester, image::Descriptor};

/// Bytes that are read at a time.
const CHUNK: usize = 64 << 10;
/// The window of zstd that every decoder has to bear (RFC 8878 3.1.1.1.2), and the most that a frame may ask for here.
const MAX_WINDOW: u64 = 8 << 20;

const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Why there is no layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// The blob did not come to its end: nothing is known about it.
    Source(String),
    /// The blob is the one that is listed, or claims to be, and is refused.
    Fault(LayerFault),
}

impl From<LayerFault> for Unread {
    fn from(fault: LayerFault) -> Self {
        Self::Fault(fault)
    }
}

/// Reads the layer that a manifest lists from its blob.
///
/// # Errors
/// [`Unread::Source`] where `blob` fails, and otherwise the first fault; that the bytes are others goes before all that is
/// wrong within them.
pub fn read(descriptor: &Descriptor, blob: impl Read, limits: &Limits) -> Result<Layer, Unread> {
    let packing = Packing::of_media_type(&descriptor.media_type)?;
    if descriptor.size > limits.blob_bytes {
        return Err(limit("bytes of blobs", limits.blob_bytes).into());
    }
    let mut source = Source { blob, size: descriptor.size, seen: 0, digester: Digester::default(), broken: None };
    let layer = unpack(&mut source, packing, limits);
    let mut rest = vec![0; CHUNK];
    while source.read(&mut rest).is_ok_and(|read| read > 0) {}
    if let Some(why) = source.broken {
        return Err(Unread::Source(why));
    }
    let (found, found_size) = (source.digester.end(), source.seen);
    if found != descriptor.digest || found_size != descriptor.size {
        let (wanted, size) = (descriptor.digest, descriptor.size);
        return Err(LayerFault::Mismatch { wanted, size, found, found_size }.into());
    }
    Ok(layer?)
}

/// How a layer is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    /// OCI image-spec, "Image Layer Filesystem Changeset"; Docker's image manifest version 2.
    fn of_media_type(text: &str) -> Result<Self, LayerFault> {
        Ok(match text {
            "application/vnd.oci.image.layer.v1.tar" | "application/vnd.docker.image.rootfs.diff.tar" => Self::Plain,
            "application/vnd.oci.image.layer.v1.tar+gzip" | "application/vnd.docker.image.rootfs.diff.tar.gzip" => {
                Self::Gzip
            }
            "application/vnd.oci.image.layer.v1.tar+zstd" | "application/vnd.docker.image.rootfs.diff.tar.zstd" => {
                Self::Zstd
            }
            other => return Err(LayerFault::MediaType(other.chars().take(100).collect())),
        })
    }

    /// As runtimes find it out, which do not ask for the media type.
    fn of_bytes(bytes: &[u8]) -> Self {
        let is_skippable = matches!(bytes, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
        match bytes {
            _ if bytes.starts_with(&GZIP) => Self::Gzip,
            _ if bytes.starts_with(&ZSTD) || is_skippable => Self::Zstd,
            _ => Self::Plain,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain tar",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

fn unpack(source: impl Read, packing: Packing, limits: &Limits) -> Result<Layer, LayerFault> {
    let mut source = BufReader::with_capacity(CHUNK, source);
    let begin = source.fill_buf().map_err(|error| LayerFault::Malformed(error.to_string()))?;
    let found = Packing::of_bytes(begin);
    if found != packing {
        return Err(LayerFault::Packing { declared: packing.name(), found: found.name() });
    }
    match packing {
        Packing::Plain => tar::read(source, limits),
        Packing::Gzip => tar::read(BufReader::with_capacity(CHUNK, MultiGzDecoder::new(source)), limits),
        Packing::Zstd => tar::read(BufReader::with_capacity(CHUNK, Zstd::new(source)), limits),
    }
}

/// The blob, digested and counted on its way.
struct Source<R> {
    blob: R,
    size: u64,
    seen: u64,
    digester: Digester,
    broken: Option<String>,
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(why) = &self.broken {
            return Err(io::Error::other(why.clone()));
        }
        // One byte more than is listed tells that there is more.
        let left = self.size.saturating_add(1).saturating_sub(self.seen);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..most) else { return Ok(0) };
        let read = match self.blob.read(buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                self.broken = Some(error.to_string());
                return Err(error);
            }
        };
        self.digester.update(buffer.get(..read).unwrap_or_default());
        self.seen = self.seen.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}

/// The frames of a zstd stream, one after another (RFC 8878 3).
struct Zstd<R> {
    source: R,
    decoder: FrameDecoder,
    within: bool,
}

impl<R: BufRead> Zstd<R> {
    fn new(source: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW);
        Self { source, decoder, within: false }
    }

    /// Begins the next frame; false at the end of all.
    fn begin(&mut self) -> io::Result<bool> {
        loop {
            if self.source.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.init(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let length = u64::from(length);
                    if io::copy(&mut self.source.by_ref().take(length), &mut io::sink())? != length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error.to_string())),
            }
        }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.within {
                if !self.begin()? {
                    return Ok(0);
                }
                self.within = true;
            }
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(buffer);
            }
            if self.decoder.is_finished() {
                self.within = false;
                continue;
            }
            let decoded = self.decoder.decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1));
            decoded.map_err(|error| io::Error::other(error.to_string()))?;
        }
    }
}
