//! The packings of a kernel: compressed, and wrapped as a bzImage.

use std::io::Write;

use xlfs_xen::kernel::Compression;

pub const ALL: [Compression; 6] = [
    Compression::Gzip,
    Compression::Bzip2,
    Compression::Lzma,
    Compression::Xz,
    Compression::Lz4,
    Compression::Zstd,
];

/// `bytes` compressed as Linux's build does it.
pub fn compress(format: Compression, bytes: &[u8]) -> Vec<u8> {
    match format {
        Compression::Gzip => {
            let mut w = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            w.write_all(bytes).unwrap();
            w.finish().unwrap()
        }
        Compression::Bzip2 => {
            let mut w = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
            w.write_all(bytes).unwrap();
            w.finish().unwrap()
        }
        Compression::Lzma => {
            let options = lzma_rust2::LzmaOptions::with_preset(1);
            let mut w = lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, None).unwrap();
            w.write_all(bytes).unwrap();
            w.finish().unwrap()
        }
        Compression::Xz => {
            let mut options = lzma_rust2::XzOptions::with_preset(1);
            options.set_check_sum_type(lzma_rust2::CheckType::Crc32);
            options.prepend_pre_filter(lzma_rust2::FilterType::BcjX86, 0);
            let mut w = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
            w.write_all(bytes).unwrap();
            w.finish().unwrap()
        }
        Compression::Lz4 => {
            let mut out = 0x184c_2102u32.to_le_bytes().to_vec();
            for block in bytes.chunks(8 << 20) {
                let packed = lz4_flex::block::compress(block);
                out.extend((packed.len() as u32).to_le_bytes());
                out.extend(packed);
            }
            out
        }
        Compression::Zstd => {
            ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
        }
    }
}

/// A bzImage whose payload is `payload`, with boot protocol `version`.
pub fn bzimage_of(payload: &[u8], version: u16) -> Vec<u8> {
    let setup_sectors = 3u8;
    let stub = 0x80u32;
    let mut file = vec![0x90; (usize::from(setup_sectors) + 1) * 512];
    file[0x1f1] = setup_sectors;
    file[0x1fe..0x200].copy_from_slice(&0xaa55u16.to_le_bytes());
    file[0x202..0x206].copy_from_slice(b"HdrS");
    file[0x206..0x208].copy_from_slice(&version.to_le_bytes());
    file[0x248..0x24c].copy_from_slice(&stub.to_le_bytes());
    file[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    file.extend(vec![0xcc; stub as usize]);
    file.extend(payload);
    // What follows the payload in a real one: code of the decompressor.
    file.extend([0x55; 300]);
    file
}

/// A bzImage with `elf` compressed in it, the unpacked size after the data
/// where Linux's build puts one.
pub fn bzimage(format: Compression, elf: &[u8]) -> Vec<u8> {
    let mut payload = compress(format, elf);
    if format != Compression::Gzip {
        payload.extend((elf.len() as u32).to_le_bytes());
    }
    bzimage_of(&payload, 0x20f)
}
