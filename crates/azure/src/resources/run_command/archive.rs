//! Zip archives of a few small files, stored without compression.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

/// Version 1.0 of the format: stored files, no directories.
const VERSION: u16 = 10;
/// The signatures before a file, before its entry in the directory, and after the directory.
const FILE_SIGNATURE: u32 = 0x0403_4b50;
const ENTRY_SIGNATURE: u32 = 0x0201_4b50;
const END_SIGNATURE: u32 = 0x0605_4b50;
/// 1980-01-01, the first date of the format.
const DATE: u16 = 0x0021;

/// An archive in base64, for [`super::Command::context`]. Names must be ASCII.
pub fn archive(files: &[(&str, &str)]) -> SecretString {
    let (mut content, mut directory) = (Vec::new(), Vec::new());
    for (name, text) in files {
        let offset = to_u32(content.len());
        content.extend(FILE_SIGNATURE.to_le_bytes());
        add_header(&mut content, name, text);
        content.extend(name.as_bytes());
        content.extend(text.as_bytes());
        directory.extend(ENTRY_SIGNATURE.to_le_bytes());
        directory.extend(VERSION.to_le_bytes());
        add_header(&mut directory, name, text);
        // No comment, disk 0, no attributes.
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let count = u16::try_from(files.len()).unwrap_or(u16::MAX).to_le_bytes();
    let (directory_offset, directory_size) = (to_u32(content.len()), to_u32(directory.len()));
    content.extend(directory);
    content.extend(END_SIGNATURE.to_le_bytes());
    // This disk and the disk of the directory: 0.
    content.extend([0; 4]);
    content.extend(count);
    content.extend(count);
    content.extend(directory_size.to_le_bytes());
    content.extend(directory_offset.to_le_bytes());
    // No comment.
    content.extend([0; 2]);
    STANDARD.encode(content).into()
}

/// The fields that both headers of a file share.
fn add_header(output: &mut Vec<u8>, name: &str, text: &str) {
    let size = to_u32(text.len());
    // No flags, stored, midnight.
    output.extend(VERSION.to_le_bytes());
    output.extend([0; 6]);
    output.extend(DATE.to_le_bytes());
    output.extend(crc32fast::hash(text.as_bytes()).to_le_bytes());
    output.extend(size.to_le_bytes());
    output.extend(size.to_le_bytes());
    output.extend(u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
    // No extra field.
    output.extend([0; 2]);
}

/// Converts a length. Manifests are far smaller than 4 GiB.
fn to_u32(length: usize) -> u32 {
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
