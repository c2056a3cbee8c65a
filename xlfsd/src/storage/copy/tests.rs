use std::cell::Cell;

use super::*;

/// A file of `len` bytes with data where `data` says so.
fn sparse(len: u64, data: &[(u64, &[u8])]) -> File {
    let file = tempfile::tempfile().unwrap();
    file.set_len(len).unwrap();
    for (at, bytes) in data {
        file.write_all_at(bytes, *at).unwrap();
    }
    file.sync_all().unwrap();
    file
}

fn content(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; super::super::pool::length(file).unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn kept(file: &File) -> u64 {
    file.sync_all().unwrap();
    file.metadata().unwrap().blocks() * 512
}

const MIB: u64 = 1 << 20;

#[test]
fn holes_stay_holes_and_the_rest_is_equal() {
    let len = 64 * MIB + 777;
    let from = sparse(
        len,
        &[(0, b"begin"), (9 * MIB + 5, &[3; 3 << 20]), (40 * MIB, b"x"), (len - 3, b"end")],
    );
    let to = sparse(len, &[]);
    copy(&from, &to, len, Before::Zeros, Watch::nobody()).unwrap();
    assert!(content(&from) == content(&to));
    assert!(kept(&to) <= kept(&from) + 65536, "{} {}", kept(&to), kept(&from));
    assert!(kept(&to) < 4 * MIB);
}

#[test]
fn zeros_that_are_no_holes_are_left_out() {
    // As an image that was streamed in: every block is there.
    let mut bytes = vec![0; 24 << 20];
    bytes[5 << 20..6 << 20].fill(9);
    bytes[(7 << 20) + 100] = 1;
    let from = sparse(0, &[(0, &bytes)]);
    assert!(kept(&from) >= 24 * MIB);
    let to = sparse(0, &[]);
    let len = bytes.len() as u64;
    copy(&from, &to, len, Before::Zeros, Watch::nobody()).unwrap();
    to.set_len(len).unwrap();
    assert!(content(&to) == bytes);
    assert!(kept(&to) <= MIB + 65536, "{}", kept(&to));
    let expected = MIB + BLOCK as u64;
    assert_eq!(data_bytes(&from, len, Watch::nobody()).unwrap(), expected);
}

#[test]
fn what_held_anything_holds_nothing_of_it_after() {
    let len = 6 * MIB + 100;
    let dirty = vec![0xEE; 10 << 20];
    let to = sparse(0, &[(0, &dirty)]);
    let from = sparse(len, &[(2 * MIB, &[1; 100_000])]);
    copy(&from, &to, len, Before::Anything, Watch::nobody()).unwrap();
    zero(&to, len, 10 * MIB, Watch::nobody()).unwrap();
    let mut expected = content(&from);
    expected.resize(10 << 20, 0);
    assert!(content(&to) == expected);
}

#[test]
fn progress_ends_at_the_length_and_never_goes_back() {
    let from = sparse(0, &[(0, &vec![1; 5 << 20])]);
    let (seen, calls) = (Cell::new(0), Cell::new(0));
    let progress = |bytes| {
        assert!(bytes >= seen.get());
        seen.set(bytes);
        calls.set(calls.get() + 1);
    };
    let watch = Watch::new(&|| false, &progress);
    copy(&from, &sparse(0, &[]), 5 * MIB, Before::Zeros, watch).unwrap();
    assert_eq!(seen.get(), 5 * MIB);
    assert!(calls.get() >= 5, "{}", calls.get());
}

#[test]
fn a_cancelled_copy_stops_within_a_few_megabytes() {
    let from = sparse(0, &[(0, &vec![1; 40 << 20])]);
    for before in [Before::Zeros, Before::Anything] {
        let seen = Cell::new(0);
        let (cancelled, progress) = (|| seen.get() >= 3 * MIB, |bytes| seen.set(bytes));
        let watch = Watch::new(&cancelled, &progress);
        let to = sparse(0, &[]);
        let error = copy(&from, &to, 40 * MIB, before, watch).unwrap_err();
        assert!(matches!(error, CopyError::Cancelled));
        assert!(to.metadata().unwrap().len() < 20 * MIB);
    }
    let to = sparse(0, &[]);
    let error = zero(&to, 5, 10, Watch::new(&|| true, &|_| {})).unwrap_err();
    assert!(matches!(error, CopyError::Cancelled));
}

#[test]
fn an_image_that_is_shorter_than_it_was_is_an_error() {
    let from = sparse(0, &[(0, &[1; 10_000])]);
    for before in [Before::Zeros, Before::Anything] {
        let error = copy(&from, &sparse(0, &[]), 20_000, before, Watch::nobody()).unwrap_err();
        assert!(matches!(error, CopyError::Short { at: 10_000, len: 20_000 }), "{error:?}");
    }
}

#[test]
fn runs_are_whole_blocks_without_the_zero_ones() {
    let of = |bytes: &[u8]| runs(bytes).collect::<Vec<_>>();
    assert!(of(&[]).is_empty());
    assert!(of(&[0; 3 * BLOCK]).is_empty());
    assert_eq!(of(&[1; 10]), std::slice::from_ref(&(0..10)));
    let mut bytes = vec![0; 4 * BLOCK + 10];
    bytes[BLOCK] = 1;
    bytes[3 * BLOCK - 1] = 1;
    bytes[4 * BLOCK + 9] = 1;
    assert_eq!(of(&bytes), [BLOCK..3 * BLOCK, 4 * BLOCK..4 * BLOCK + 10]);
}
