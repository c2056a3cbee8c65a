//! The images in memory: which there are, and what a name means. No I/O.

use std::collections::BTreeMap;

use super::Digest;
use super::record::ImageRecord;
use crate::problem::Problem;
use xlfs_mistakes::suggest::did_you_mean;

/// Shorter parts of a digest name nothing.
const MIN_PREFIX: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Catalog {
    images: BTreeMap<Digest, ImageRecord>,
}

impl Catalog {
    pub(super) fn get(&self, digest: &Digest) -> Option<&ImageRecord> {
        self.images.get(digest)
    }

    pub(super) fn put(&mut self, record: ImageRecord) {
        self.images.insert(record.digest, record);
    }

    pub(super) fn remove(&mut self, digest: &Digest) {
        self.images.remove(digest);
    }

    /// By digest.
    pub(super) fn iter(&self) -> impl Iterator<Item = &ImageRecord> {
        self.images.values()
    }

    /// The image that has `alias` now.
    pub(super) fn by_alias(&self, alias: &str) -> Option<&ImageRecord> {
        let claim = |record: &&ImageRecord| record.aliases.get(alias).copied();
        self.iter().filter(|record| claim(record).is_some()).max_by_key(claim)
    }

    /// By alias, digest, or a part of a digest that fits one image only.
    pub(super) fn resolve(&self, reference: &str) -> Result<&ImageRecord, Problem> {
        if let Some(record) = self.by_alias(reference) {
            return Ok(record);
        }
        let prefix = reference.to_ascii_lowercase();
        let could_be_digest =
            prefix.len() >= MIN_PREFIX && prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
        let fitting: Vec<_> = self
            .iter()
            .filter(|record| could_be_digest && record.digest.to_string().starts_with(&prefix))
            .collect();
        match fitting.as_slice() {
            [record] => Ok(record),
            [] => Err(self.not_found(reference)),
            several => Err(ambiguous(reference, several)),
        }
    }

    fn not_found(&self, reference: &str) -> Problem {
        let shown: String = reference.chars().take(80).collect();
        let aliases = self.iter().flat_map(|record| record.aliases.keys().map(String::as_str));
        let suggestion = did_you_mean(&shown, aliases);
        Problem::not_found("NO_SUCH_IMAGE", format!("there is no image {shown:?}{suggestion}"))
            .object(format!("image {shown}"))
            .hint("List the images, or import it. An image is named by its alias, its digest, or the first 8 or more digits of that.")
    }
}

fn ambiguous(reference: &str, several: &[&ImageRecord]) -> Problem {
    let titles: Vec<_> = several
        .iter()
        .map(|record| {
            let aliases: Vec<_> = record.aliases.keys().map(String::as_str).collect();
            format!("{} {} {}", record.digest, record.kind.as_str(), aliases.join(", "))
                .trim()
                .to_owned()
        })
        .collect();
    let mut problem = Problem::failed_precondition(
        "AMBIGUOUS_IMAGE",
        format!("{reference:?} fits {} images: {}", several.len(), titles.join("; ")),
    );
    problem.object = Some(format!("image {reference}"));
    problem.hint("Give more digits.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ImageKind;

    fn catalog(images: &[(&str, &[(&str, u64)])]) -> Catalog {
        let mut catalog = Catalog::default();
        for (start, aliases) in images {
            catalog.put(ImageRecord {
                format: 1,
                digest: format!("{start:0<64}").parse().unwrap(),
                kind: ImageKind::Kernel,
                size: 1,
                imported_ms: 1,
                origin: String::new(),
                summary: String::new(),
                aliases: aliases.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect(),
            });
        }
        catalog
    }

    fn found(catalog: &Catalog, reference: &str) -> String {
        match catalog.resolve(reference) {
            Ok(record) => record.digest.to_string().trim_end_matches('0').to_owned(),
            Err(problem) => problem.reason.to_owned(),
        }
    }

    #[test]
    fn resolves_aliases_digests_and_prefixes() {
        let catalog = catalog(&[
            ("abcdef123", &[("minimal-kernel", 5)]),
            ("abcdef124", &[]),
            ("0123456789", &[("cafe", 1)]),
        ]);
        assert_eq!(found(&catalog, "minimal-kernel"), "abcdef123");
        assert_eq!(found(&catalog, "cafe"), "0123456789");
        assert_eq!(found(&catalog, "01234567"), "0123456789");
        assert_eq!(found(&catalog, "ABCDEF124"), "abcdef124");
        assert_eq!(found(&catalog, &format!("{:0<64}", "abcdef124")), "abcdef124");
        assert_eq!(found(&catalog, "abcdef12"), "AMBIGUOUS_IMAGE");
        for nothing in ["0123456", "", "abcdefff", "minimal"] {
            assert_eq!(found(&catalog, nothing), "NO_SUCH_IMAGE", "{nothing}");
        }
    }

    #[test]
    fn errors_name_what_fits_or_is_near() {
        let catalog = catalog(&[("abcdef123", &[("minimal-kernel", 5)]), ("abcdef124", &[])]);
        let problem = catalog.resolve("abcdef12").unwrap_err();
        assert!(
            problem.message.contains("abcdef1240") && problem.message.contains("minimal-kernel")
        );
        let problem = catalog.resolve("minmal-kernel").unwrap_err();
        assert_eq!(
            problem.message,
            "there is no image \"minmal-kernel\" (did you mean \"minimal-kernel\"?)"
        );
    }

    #[test]
    fn of_two_claims_of_an_alias_the_later_holds() {
        let catalog = catalog(&[("aaaaaaaaa", &[("k", 7)]), ("bbbbbbbbb", &[("k", 6)])]);
        assert_eq!(found(&catalog, "k"), "aaaaaaaaa");
    }
}
