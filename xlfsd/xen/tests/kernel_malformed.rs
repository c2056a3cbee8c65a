//! Every malformed image is refused with the error that names its fault, and
//! none takes long or much.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop")]

mod kernel_images;

use std::io;

use kernel_images::malformed::{all, bomb};
use kernel_images::pack::{ALL, bzimage};
use kernel_images::{VIRT_BASE, kernel, number, plain_notes};
use xlfs_xen::kernel::{Error, Limits, Payload, ReadAt, inspect};

fn tag(error: &Error) -> String {
    serde_json::to_value(error).unwrap()["error"].as_str().unwrap().to_owned()
}

#[test]
fn each_fault_has_its_error() {
    let mut wrong = Vec::new();
    for case in all() {
        match inspect(case.image.as_slice(), &Limits::default(), &mut Vec::new()) {
            Ok(_) => wrong.push(format!("{}: accepted", case.name)),
            Err(error) if tag(&error) != case.error => {
                wrong.push(format!("{}: {error:?} instead of {}", case.name, case.error));
            }
            Err(error) => {
                let text = error.to_string();
                assert!(!text.chars().any(char::is_control), "{}: {text:?}", case.name);
                let json = serde_json::to_string(&error).unwrap();
                assert_eq!(serde_json::from_str::<Error>(&json).unwrap(), error);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = all().into_iter().map(|case| case.name).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

/// Where every byte beyond the cap would be noticed.
#[derive(Default)]
struct Counted {
    bytes: u64,
}

impl ReadAt for Counted {
    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes)
    }
    fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}

impl Payload for Counted {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

#[test]
fn a_bomb_stops_at_the_cap_and_not_after_it() {
    for format in ALL {
        let image = bomb(format);
        assert!(image.len() < 2 << 20, "{format}: {} bytes are no bomb", image.len());
        for limit in [0, 4096, 8 << 20] {
            let limits = Limits { payload_bytes: limit, ..Limits::default() };
            let mut payload = Counted::default();
            let result = inspect(image.as_slice(), &limits, &mut payload);
            assert_eq!(result, Err(Error::PayloadTooLarge { limit }), "{format}");
            assert!(payload.bytes <= limit, "{format}: {} of {limit}", payload.bytes);
        }
    }
}

#[test]
fn an_elf_cut_anywhere_is_refused() {
    let elf = kernel().bytes();
    for cut in 0..elf.len() {
        let result = inspect(&elf[..cut], &Limits::default(), &mut Vec::new());
        assert!(result.is_err(), "cut at {cut}");
    }
}

#[test]
fn a_bzimage_cut_anywhere_in_its_payload_is_refused() {
    let elf = kernel().bytes();
    for format in ALL {
        let image = bzimage(format, &elf);
        // The 300 bytes after the payload are never looked at.
        for cut in 0..image.len() - 300 {
            let result = inspect(&image[..cut], &Limits::default(), &mut Vec::new());
            assert!(result.is_err(), "{format} cut at {cut}");
        }
        let cut = &image[..image.len() - 300];
        assert!(inspect(cut, &Limits::default(), &mut Vec::new()).is_ok(), "{format}");
    }
}

#[test]
fn limits_are_of_the_host_and_of_the_guest() {
    let elf = kernel().bytes();
    let size = elf.len() as u64;
    let packed = bzimage(ALL[0], &elf);
    let run = |image: &[u8], limits: Limits| inspect(image, &limits, &mut Vec::new());

    let exact = Limits { image_bytes: size, payload_bytes: size, ..Limits::default() };
    assert!(run(&elf, exact).is_ok() && run(&packed, exact).is_ok());
    let image_bytes = size - 1;
    let less = Limits { image_bytes, ..exact };
    assert_eq!(run(&elf, less), Err(Error::ImageTooLarge { size, limit: image_bytes }));
    let less = Limits { payload_bytes: size - 1, ..exact };
    assert_eq!(run(&elf, less), Err(Error::ImageTooLarge { size, limit: size - 1 }));
    assert_eq!(run(&packed, less), Err(Error::PayloadTooLarge { limit: size - 1 }));

    // 0x105000 bytes of memory, from VIRT_BASE to the kernel's end.
    assert!(run(&elf, Limits::for_guest(0x10_5000)).is_ok());
    assert_eq!(
        run(&elf, Limits::for_guest(0x10_4fff)),
        Err(Error::KernelTooLarge { size: 0x10_5000, limit: 0x10_4fff })
    );
}

#[test]
fn a_guest_must_hold_the_kernel_and_its_p2m() {
    let plan = |notes| {
        let elf = kernel_images::kernel_with(notes).bytes();
        inspect(elf.as_slice(), &Limits::default(), &mut Vec::new()).unwrap()
    };
    let small = plan(plain_notes());
    assert_eq!(small.memory_needed(), 0x10_5000);
    assert_eq!(small.fits(0x10_5000), Ok(()));
    assert!(matches!(small.fits(0x10_4000), Err(Error::KernelTooLarge { .. })));

    // A p2m table of 1 MiB (512 MiB of memory) below the kernel.
    let mut notes = plain_notes();
    notes.push(number(15, VIRT_BASE - (1 << 20)));
    let near = plan(notes);
    assert_eq!(near.fits(512 << 20), Ok(()));
    let error = near.fits((512 << 20) + 4096).unwrap_err();
    assert!(matches!(error, Error::InitP2mOverlaps { .. }), "{error:?}");

    // One that would run into the hole between the canonical halves.
    let mut notes = plain_notes();
    notes.push(number(15, 0x7fff_ffff_f000));
    let edge = plan(notes);
    assert_eq!(edge.fits(2 << 20), Ok(()));
    assert!(matches!(edge.fits((2 << 20) + 4096), Err(Error::ForbiddenAddress { .. })));
}
