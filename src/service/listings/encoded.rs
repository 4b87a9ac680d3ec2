//! The body of a response in every content coding that clients may request, with entity tags. For a cached list, all codings
//! are computed once, in the task that loads the list. `api` chooses the coding of a response.

use std::io::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::vault;

/// Shorter bodies are not compressed: they fit into one packet, and the additional headers would outweigh the saving.
const MIN_COMPRESSED_LEN: usize = 1024;
/// Makes lists shorter than gzip does, in about a millisecond; higher levels gain little and take ten times as long.
const ZSTD_LEVEL: i32 = 9;
/// The approximate size of an [`Encoded`] without its bodies, in bytes.
const OVERHEAD: usize = 320;

/// A body with its representations.
#[derive(Debug)]
pub struct Encoded {
    tag: Tag,
    identity: Representation,
    gzip: Option<Representation>,
    zstd: Option<Representation>,
}

/// One representation of a body.
#[derive(Clone, Debug)]
pub struct Representation {
    /// The body as it is sent.
    pub body: Bytes,
    /// The strong entity tag, in quotes. Each coding has its own, because the bytes differ.
    pub etag: Bytes,
}

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Identity,
    Gzip,
    Zstd,
}

/// A content hash from which entity tags are made.
pub(super) type Tag = [u8; 16];

impl Encoded {
    /// Tags and compresses a body that will be cached. Takes milliseconds for a long body.
    pub(super) fn new(body: Bytes) -> Self {
        let tag = tag(&[&body]);
        let (gzip, zstd) = (compress(&body, gzip), compress(&body, zstd));
        Self::from_parts(tag, body, gzip, zstd)
    }

    /// A body that was built for one request; it is not compressed, because that would delay the response. The tag is the hash
    /// of `sources`, which determine the content and are cheaper to hash than a long body.
    pub(super) fn uncompressed(body: Bytes, sources: &[&[u8]]) -> Self {
        Self::from_parts(tag(sources), body, None, None)
    }

    /// A body that was built for one request, with the hash of the body as its tag. Not compressed.
    pub fn for_request(body: Bytes) -> Self {
        let tag = tag(&[&body]);
        Self::from_parts(tag, body, None, None)
    }

    /// A body with its tag and compressed forms, all computed earlier.
    pub(super) fn from_parts(tag: Tag, body: Bytes, gzip: Option<Bytes>, zstd: Option<Bytes>) -> Self {
        let representation =
            |body, coding: Coding| Representation { body, etag: entity_tag(&tag, coding.suffix()) };
        Self {
            tag,
            identity: representation(body, Coding::Identity),
            gzip: gzip.map(|body| representation(body, Coding::Gzip)),
            zstd: zstd.map(|body| representation(body, Coding::Zstd)),
        }
    }

    /// The representation in a coding; `None` if the body is not available in it.
    pub fn get(&self, coding: Coding) -> Option<&Representation> {
        match coding {
            Coding::Identity => Some(&self.identity),
            Coding::Gzip => self.gzip.as_ref(),
            Coding::Zstd => self.zstd.as_ref(),
        }
    }

    /// The representation without a content coding.
    pub fn identity(&self) -> &Representation {
        &self.identity
    }

    /// The hash from which the entity tags are made.
    pub(super) fn tag(&self) -> &Tag {
        &self.tag
    }

    /// The approximate size of all representations in bytes.
    pub(super) fn weight(&self) -> usize {
        let compressed = [&self.gzip, &self.zstd].into_iter().flatten();
        OVERHEAD
            + self.identity.body.len()
            + compressed.map(|representation| representation.body.len()).sum::<usize>()
    }
}

impl Coding {
    /// The name in `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Identity => "",
            Self::Gzip => "-gzip",
            Self::Zstd => "-zstd",
        }
    }
}

/// The first half of the SHA-256 of the sources, each with its length.
pub(super) fn tag(sources: &[&[u8]]) -> Tag {
    vault::content_hash(sources)
}

fn entity_tag(tag: &Tag, suffix: &str) -> Bytes {
    format!("\"{}{suffix}\"", URL_SAFE_NO_PAD.encode(tag)).into()
}

/// The compressed body, if it is long enough and becomes shorter.
fn compress(body: &[u8], compress: fn(&[u8]) -> io::Result<Vec<u8>>) -> Option<Bytes> {
    if body.len() < MIN_COMPRESSED_LEN {
        return None;
    }
    let compressed = compress(body).ok().filter(|compressed| compressed.len() < body.len())?;
    // `into_boxed_slice` drops spare capacity, which the weight in the cache would not include.
    Some(compressed.into_boxed_slice().into())
}

fn gzip(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body)?;
    encoder.finish()
}

fn zstd(body: &[u8]) -> io::Result<Vec<u8>> {
    zstd::bulk::compress(body, ZSTD_LEVEL)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    fn body(encoded: &Encoded, coding: Coding) -> &Bytes {
        &encoded.get(coding).unwrap().body
    }

    #[test]
    fn long_body_is_compressed_and_counted() {
        let json = Bytes::from("[\"Standard_D2s_v5\"]".repeat(100));
        let encoded = Encoded::new(json.clone());
        assert_eq!(encoded.identity().body, json);
        let mut unzipped = Vec::new();
        GzDecoder::new(&body(&encoded, Coding::Gzip)[..]).read_to_end(&mut unzipped).unwrap();
        assert_eq!(unzipped, json);
        let unzipped = zstd::bulk::decompress(body(&encoded, Coding::Zstd), json.len()).unwrap();
        assert_eq!(unzipped, json);
        let bodies =
            [Coding::Identity, Coding::Gzip, Coding::Zstd].map(|coding| body(&encoded, coding).len());
        assert_eq!(encoded.weight(), OVERHEAD + bodies.iter().sum::<usize>());
    }

    #[test]
    fn body_that_gains_nothing_is_not_compressed() {
        let random: Vec<u8> = (0..200).flat_map(|_| vault::random::<16>()).collect();
        for short in [Bytes::from_static(b"[]"), Bytes::from("a".repeat(1023)), random.into()] {
            let encoded = Encoded::new(short.clone());
            assert!(encoded.get(Coding::Gzip).is_none() && encoded.get(Coding::Zstd).is_none());
            assert_eq!(encoded.weight(), OVERHEAD + short.len());
        }
        let long = Bytes::from("a".repeat(4096));
        let content: &[u8] = &long;
        assert!(Encoded::uncompressed(long.clone(), &[content]).get(Coding::Gzip).is_none());
    }

    #[test]
    fn entity_tag_depends_on_content_and_coding() {
        let etags = |body: String| {
            let encoded = Encoded::new(body.into());
            let etag = |coding| String::from_utf8(encoded.get(coding).unwrap().etag.to_vec()).unwrap();
            [Coding::Identity, Coding::Gzip, Coding::Zstd].map(etag)
        };
        let [plain, gzip, zstd] = etags("a".repeat(2000));
        assert_eq!((plain.len(), &plain[..1]), (24, "\""), "{plain}");
        assert_eq!(gzip, format!("{}-gzip\"", &plain[..23]));
        assert_eq!(zstd, format!("{}-zstd\"", &plain[..23]));
        assert_eq!(etags("a".repeat(2000)), [plain.clone(), gzip, zstd]);
        assert_ne!(etags("a".repeat(2001))[0], plain);
    }
}
