//! The kernel worker as a real process: this program runs itself again, as the
//! daemon does, and so it has no test harness but a `main` of its own.
//!
//! Called with a name in `roles::BY_NAME` as its own name or as its first
//! argument it is a child of some kind; else it is the tests, and an argument
//! picks those whose name contains it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

mod cache;
#[path = "../kernel_images/mod.rs"]
mod kernel_images;
mod lies;
#[cfg(feature = "real-kernels")]
mod real;
mod roles;
mod sandbox;
mod work;

use std::panic::catch_unwind;
use std::path::PathBuf;
use std::process::ExitCode;

use xlfs_xen::kernel::worker;

type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("every_packing_comes_back", work::every_packing_comes_back),
    ("bare_elf_writes_nothing", work::bare_elf_writes_nothing),
    ("refusals_keep_their_reason", work::refusals_keep_their_reason),
    ("bombs_stop_at_the_cap", work::bombs_stop_at_the_cap),
    ("files_must_be_files", work::files_must_be_files),
    ("nothing_is_left_to_the_child", sandbox::nothing_is_left_to_the_child),
    ("forbidden_calls_are_fatal", sandbox::forbidden_calls_are_fatal),
    ("memory_and_time_are_bounded", sandbox::memory_and_time_are_bounded),
    ("lies_are_found_out", lies::lies_are_found_out),
    ("silence_ends_at_the_deadline", lies::silence_ends_at_the_deadline),
    ("dropping_the_future_kills", lies::dropping_the_future_kills),
    ("a_kernel_is_parsed_once", cache::a_kernel_is_parsed_once),
    ("many_at_once_parse_once", cache::many_at_once_parse_once),
    ("a_corrupt_entry_is_made_anew", cache::a_corrupt_entry_is_made_anew),
    ("an_entry_under_a_wrong_name_is_not_used", cache::an_entry_under_a_wrong_name_is_not_used),
    ("other_limits_mean_another_parse", cache::other_limits_mean_another_parse),
    ("a_refused_image_leaves_nothing", cache::a_refused_image_leaves_nothing),
    ("forgotten_kernels_stay_readable", cache::forgotten_kernels_stay_readable),
    ("a_cancelled_parse_leaves_nothing", cache::a_cancelled_parse_leaves_nothing),
    ("leftovers_are_swept", cache::leftovers_are_swept),
    ("a_known_digest_is_believed", cache::a_known_digest_is_believed),
    #[cfg(feature = "real-kernels")]
    ("a_distributions_kernel", real::a_distributions_kernel),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let own_name = PathBuf::from(arguments.next().unwrap_or_default());
    let first = arguments.next();
    let names = own_name.file_name().and_then(|n| n.to_str()).into_iter().chain(first.as_deref());
    for name in names {
        if let Some((_, role)) = roles::BY_NAME.iter().find(|(n, _)| *n == name) {
            return role();
        }
    }
    if let Some(code) = worker::run_if_asked() {
        return code;
    }
    let filter = first.filter(|f| !f.starts_with('-')).unwrap_or_default();
    let chosen = TESTS.iter().filter(|(name, _)| name.contains(&filter));
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in chosen {
        let good = catch_unwind(test).is_ok();
        println!("test {name} ... {}", if good { "ok" } else { "FAILED" });
        if good { passed += 1 } else { failed += 1 }
    }
    println!("test result: {passed} passed; {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
