//! Secrets that xlfsd makes, because nobody gave one.

/// Characters of a made secret that a manifest may ask for.
const LENGTHS: std::ops::RangeInclusive<usize> = 12..=128;
/// Unless the manifest says otherwise: 142 bits.
const LENGTH: usize = 24;
/// Nothing that needs quoting anywhere.
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// The length that a manifest asks for.
pub(super) fn check_length(length: Option<usize>) -> Result<usize, String> {
    let length = length.unwrap_or(LENGTH);
    LENGTHS
        .contains(&length)
        .then_some(length)
        .ok_or_else(|| format!("its length must be {} to {}", LENGTHS.start(), LENGTHS.end()))
}

/// `length` characters from the kernel's generator.
pub(in crate::template) fn generate(length: usize) -> Result<String, getrandom::Error> {
    let mut secret = String::with_capacity(length);
    let mut bytes = [0; 64];
    while secret.len() < length {
        getrandom::fill(&mut bytes)?;
        // What does not fit in whole turns of the alphabet would favour its beginning.
        let fair = 256 / ALPHABET.len() * ALPHABET.len();
        let fitting = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < fair);
        let letters = fitting.map(|byte| char::from(ALPHABET[byte % ALPHABET.len()]));
        secret.extend(letters.take(length - secret.len()));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_plain_and_different() {
        let made: Vec<_> = (0..200).map(|_| generate(24).unwrap()).collect();
        let letters: std::collections::HashSet<_> = made.iter().flat_map(|s| s.chars()).collect();
        assert!(made.iter().all(|s| s.len() == 24 && s.bytes().all(|b| b.is_ascii_alphanumeric())));
        assert_eq!(letters.len(), ALPHABET.len(), "4800 letters show all 62");
        assert_eq!(made.iter().collect::<std::collections::HashSet<_>>().len(), 200);
        assert_eq!(generate(128).unwrap().len(), 128);
    }

    #[test]
    fn a_length_has_limits() {
        assert_eq!(check_length(None), Ok(24));
        assert_eq!(check_length(Some(12)), Ok(12));
        assert_eq!(check_length(Some(128)), Ok(128));
        assert!(check_length(Some(11)).is_err() && check_length(Some(129)).is_err());
    }
}
