//! Damage of every kind, at random: no image may panic the parser, and what
//! it accepts must be a plan that cannot hurt.
//!
//! The random numbers are the same in every run. XLFS_FUZZ_ROUNDS makes a
//! longer campaign, XLFS_FUZZ_SEED another one.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod kernel_images;

use kernel_images::pack::{ALL, bzimage};
use kernel_images::{Elf, Phdr, Shdr, kernel, linux_notes, note, segments};
use xlfs_xen::kernel::{KernelPlan, Limits, inspect};

/// xorshift64*: small, and good enough to hit fields with.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Values at which arithmetic goes wrong.
const EDGES: [u64; 20] = [
    0,
    1,
    3,
    8,
    0xfff,
    0x1000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff,
    0x8000_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0xffff_7fff_ffff_f000,
    0xffff_8000_0000_0000,
    0xffff_8800_0000_0000,
    0xffff_ffff_8000_0000,
    0xffff_ffff_ffff_f000,
    0xffff_ffff_ffff_fff8,
    u64::MAX,
];

/// Damages `image` a little, more often near `hot`: its headers and notes.
fn damage(random: &mut Random, image: &mut Vec<u8>, hot: &[std::ops::Range<usize>]) {
    for _ in 0..=random.below(4) {
        let place = if random.below(8) == 0 { 0..image.len() } else { random.pick_range(hot) };
        let at = place.start + random.below(place.len());
        match random.below(10) {
            0 => image.truncate(at),
            1 => {
                let from = random.below(image.len());
                let len = random.below(64).min(image.len() - from);
                let piece = image[from..from + len].to_vec();
                let at = at.min(image.len());
                image.splice(at..at, piece);
            }
            2..=4 => {
                let bit = 1 << random.below(8);
                if let Some(byte) = image.get_mut(at) {
                    *byte ^= bit;
                }
            }
            _ => {
                let value = match random.below(4) {
                    0 => random.next(),
                    1 => random.next() >> random.below(64),
                    _ => random.pick(&EDGES).wrapping_add(random.pick(&[0, 0, 1, u64::MAX])),
                };
                let size = random.pick(&[1, 2, 4, 8]);
                let at = at & !(size - 1);
                if let Some(field) = image.get_mut(at..at + size) {
                    field.copy_from_slice(&value.to_le_bytes()[..size]);
                }
            }
        }
        if image.is_empty() {
            return;
        }
    }
}

impl Random {
    fn pick_range(&mut self, from: &[std::ops::Range<usize>]) -> std::ops::Range<usize> {
        from[self.below(from.len())].clone()
    }
}

/// What a builder relies on, written anew in 128-bit arithmetic.
fn check(plan: &KernelPlan, payload_size: usize, limits: &Limits) {
    let wide = u128::from;
    let base = wide(plan.virt_base);
    assert_eq!(plan.payload_size, payload_size as u64);
    assert!(!plan.segments.is_empty() && plan.segments.len() <= 64);
    assert_eq!(plan.virt_base % 4096, 0);
    let mut end = base;
    for s in &plan.segments {
        assert!(wide(s.file_offset) + wide(s.file_size) <= payload_size as u128);
        assert!(s.file_size <= s.mem_size && s.mem_size > 0);
        assert!(wide(s.vaddr) >= end, "overlap or below the base");
        end = wide(s.vaddr) + wide(s.mem_size);
    }
    assert!(end <= wide(u64::MAX));
    assert_eq!((plan.virt_kstart, wide(plan.virt_kend)), (plan.segments[0].vaddr, end));
    assert!(end - base <= wide(limits.memory_bytes));
    let hole = 0x8000_0000_0000..0xffff_8800_0000_0000u128;
    assert!(end < hole.start || base >= hole.end, "{base:#x} to {end:#x}");
    let entry = wide(plan.virt_entry);
    let holds = |s: &&xlfs_xen::kernel::Segment| {
        (wide(s.vaddr)..wide(s.vaddr) + wide(s.mem_size)).contains(&entry)
    };
    assert!(plan.segments.iter().any(|s| holds(&s)));
    if let Some(page) = plan.hypercall_page {
        assert!(page % 4096 == 0 && page >= plan.virt_kstart && wide(page) + 4096 <= end);
    }
    if let Some(p2m) = plan.init_p2m.map(wide) {
        assert!(p2m % 4096 == 0 && !(base..end).contains(&p2m) && !hole.contains(&p2m));
    }
    for text in [&plan.guest_os, &plan.guest_version, &plan.loader, &plan.xen_version] {
        assert!(text.len() <= 128 && !text.chars().any(char::is_control));
    }
    // The plan never maps outside the guest that it fits in.
    for memory in [1u64 << 20, 16 << 20, 512 << 20, 1 << 40, u64::MAX] {
        if plan.fits(memory).is_ok() {
            assert!(end - base <= wide(memory));
            if let Some(p2m) = plan.init_p2m.map(wide) {
                let p2m_end = p2m + wide(memory / 4096) * 8;
                assert!(p2m_end <= base || p2m >= end, "p2m over the kernel");
                assert!(p2m_end <= hole.start || p2m >= hole.end, "p2m in the hole");
                assert!(p2m_end <= 1 << 64, "p2m beyond the top");
            }
        }
    }
    assert_eq!(plan.validate(plan.payload_size, limits), Ok(()));
    let json = serde_json::to_string(plan).unwrap();
    assert_eq!(&serde_json::from_str::<KernelPlan>(&json).unwrap(), plan);
}

/// Runs `rounds` of damage to `seed`; returns how many images were accepted.
fn campaign(seed: &[u8], hot: &[std::ops::Range<usize>], rounds: u64) -> u64 {
    let limits = Limits { payload_bytes: 1 << 20, ..Limits::default() };
    let mut random = Random(setting("XLFS_FUZZ_SEED", 0x0078_6c66_7378_656e));
    let mut accepted = 0;
    for _ in 0..rounds {
        let mut image = seed.to_vec();
        damage(&mut random, &mut image, hot);
        let mut payload = Vec::new();
        if let Ok(plan) = inspect(image.as_slice(), &limits, &mut payload) {
            let size = if plan.payload_is_image() { image.len() } else { payload.len() };
            check(&plan, size, &limits);
            accepted += 1;
        }
        assert!(payload.len() as u64 <= limits.payload_bytes);
    }
    accepted
}

#[test]
fn damaged_elf() {
    let elf = kernel().bytes();
    // Headers, and the notes at the end.
    let notes: usize = linux_notes().iter().map(Vec::len).sum();
    let hot = [0..64, 64..64 + 3 * 56, elf.len() - notes..elf.len()];
    let rounds = setting("XLFS_FUZZ_ROUNDS", 30_000);
    let accepted = campaign(&elf, &hot, rounds);
    // Both outcomes must be exercised for this to mean anything.
    assert!(accepted > rounds / 100 && accepted < rounds * 9 / 10, "{accepted} of {rounds}");
}

#[test]
fn damaged_sections() {
    let mut elf = Elf::with(segments());
    let info = b"GUEST_OS=linux,XEN_VER=xen-3.0,VIRT_BASE=0xffffffff80000000,HYPERCALL_PAGE=0x101,\
                 ELF_PADDR_OFFSET=0x0,VIRT_ENTRY=0xffffffff80100000,FEATURES=writable_page_tables\0";
    let sections = [(".note", 7, note(b"GNU\0", 3, b"x")), ("__xen_guest", 1, info.to_vec())];
    for (name, kind, content) in sections {
        let (offset, size) = (None, None);
        elf.shdrs.push(Shdr { name: name.into(), kind, offset, size, content });
    }
    elf.phdrs.push(Phdr::notes(Vec::new()));
    let elf = elf.bytes();
    let contents = info.len() + 64;
    let tail = elf.len() - 4 * 64;
    let hot = [40..64, tail..elf.len(), tail - contents..tail];
    let rounds = setting("XLFS_FUZZ_ROUNDS", 30_000) / 2;
    let accepted = campaign(&elf, &hot, rounds);
    assert!(accepted > rounds / 100 && accepted < rounds * 9 / 10, "{accepted} of {rounds}");
}

#[test]
fn damaged_packings() {
    let elf = kernel().bytes();
    for format in ALL {
        let image = bzimage(format, &elf);
        let hot = [0x1f1..0x250, 0x880..image.len() - 300, 0x880..0x8a0];
        let rounds = setting("XLFS_FUZZ_ROUNDS", 30_000) / 100;
        let accepted = campaign(&image, &hot, rounds);
        assert!(accepted < rounds * 9 / 10, "{format}: {accepted} of {rounds}");
    }
}
