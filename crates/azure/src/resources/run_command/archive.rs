//! Zip archives of a few small files, stored without compression.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

/// Version 1.0 of the format: stored files, no directories.
const VERSION: u16 = 10;
/// 1980-01-01, the first date of the format.
const DATE: u16 = 0x0021;

/// An archive in base64, for [`super::Command::context`]. Names must be ASCII.
pub fn archive(files: &[(&str, &str)]) -> SecretString {
    let (mut content, mut directory) = (Vec::new(), Vec::new());
    for (name, text) in files {
        let offset = length(content.len());
        content.extend(0x0403_4b50_u32.to_le_bytes());
        add_header(&mut content, name, text);
        content.extend(name.as_bytes());
        content.extend(text.as_bytes());
        directory.extend(0x0201_4b50_u32.to_le_bytes());
        directory.extend(VERSION.to_le_bytes());
        add_header(&mut directory, name, text);
        // No comment, disk 0, no attributes.
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let count = u16::try_from(files.len()).unwrap_or(u16::MAX).to_le_bytes();
    let (offset, size) = (length(content.len()), length(directory.len()));
    content.extend(directory);
    content.extend(0x0605_4b50_u32.to_le_bytes());
    content.extend([0; 4]);
    content.extend(count);
    content.extend(count);
    content.extend(size.to_le_bytes());
    content.extend(offset.to_le_bytes());
    content.extend([0; 2]);
    STANDARD.encode(content).into()
}

/// The fields that both headers of a file share.
fn add_header(to: &mut Vec<u8>, name: &str, text: &str) {
    let size = length(text.len());
    // No flags, stored, midnight.
    to.extend(VERSION.to_le_bytes());
    to.extend([0; 6]);
    to.extend(DATE.to_le_bytes());
    to.extend(crc32fast::hash(text.as_bytes()).to_le_bytes());
    to.extend(size.to_le_bytes());
    to.extend(size.to_le_bytes());
    to.extend(u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
    // No extra field.
    to.extend([0; 2]);
}

/// Converts a length. Manifests are far smaller than 4 GiB.
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn archive_has_the_bytes_of_the_format() {
        // Unpacked with Python's zipfile: a.txt has the line "hello".
        let expected = "UEsDBAoAAAAAAAAAIQAgMDo2BgAAAAYAAAAFAAAAYS50eHRoZWxsbwpQSwECCgAKAAAAAAAAACEAIDA6NgYAAAAGAAAABQAAAAAA\
                        AAAAAAAAAAAAAAAAYS50eHRQSwUGAAAAAAEAAQAzAAAAKQAAAAAA";
        assert_eq!(archive(&[("a.txt", "hello\n")]).expose_secret(), expected);
    }
}
