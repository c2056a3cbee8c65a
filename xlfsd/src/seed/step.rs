//! First-boot steps: the shell files that a template ships.

use std::fmt;

/// Bytes of one step. A step sets up packages that the image has; whatever is
/// longer belongs into the image.
pub const MAX_STEP: usize = 64 << 10;
/// Characters of a step's name.
const MAX_NAME: usize = 64;

/// Why a file cannot be a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    #[error(
        "{name:?} cannot be a step's name: letters, digits, '_', '-' and inner dots, at most {MAX_NAME} characters, such as 10-postgres.sh"
    )]
    Name { name: String },
    #[error("the step {name} is larger than {} KiB", MAX_STEP >> 10)]
    TooLarge { name: String },
    #[error("the step {name} holds a NUL, which no shell file does")]
    Binary { name: String },
}

/// A shell file that runs once in a new guest.
#[derive(Clone, PartialEq, Eq)]
pub struct Step {
    name: String,
    content: String,
}

impl Step {
    /// Checks name and content. The name is a file name in FAT and a word in a
    /// shell's list, so it has nothing that needs quoting in either.
    pub fn new(name: &str, content: &str) -> Result<Self, StepError> {
        Self::check_name(name)?;
        if content.len() > MAX_STEP {
            return Err(StepError::TooLarge { name: name.to_owned() });
        }
        if content.contains('\0') {
            return Err(StepError::Binary { name: name.to_owned() });
        }
        Ok(Self { name: name.to_owned(), content: content.to_owned() })
    }

    /// Whether a step can have this name.
    pub fn check_name(name: &str) -> Result<(), StepError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
        let fits = (1..=MAX_NAME).contains(&name.len())
            && name.bytes().all(plain)
            && !name.starts_with(['.', '-'])
            && !name.ends_with('.')
            && !name.contains("..");
        let shown = || name.chars().take(MAX_NAME).collect();
        fits.then_some(()).ok_or_else(|| StepError::Name { name: shown() })
    }

    /// The file's name, for people and for the order in which steps are listed.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shell's text.
    pub fn content(&self) -> &str {
        &self.content
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Step({}, {} bytes)", self.name, self.content.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::HOSTILE;

    #[test]
    fn a_name_needs_no_quotes_anywhere() {
        let longest = "a".repeat(MAX_NAME);
        for good in ["10-postgres.sh", "a", "A_b", "1.2.sh", &longest] {
            assert_eq!(Step::new(good, "").unwrap().name(), good);
        }
        let long = format!("{longest}a");
        for bad in HOSTILE.into_iter().chain([".a", "a.", "-a", "a..b", "a/b", "a~1", "ä", &long])
        {
            assert!(matches!(Step::new(bad, ""), Err(StepError::Name { .. })), "{bad:?}");
        }
    }

    #[test]
    fn the_content_is_text_of_a_sane_size() {
        assert!(Step::new("a", &"x".repeat(MAX_STEP)).is_ok());
        let error = Step::new("a", &"x".repeat(MAX_STEP + 1)).unwrap_err();
        assert_eq!(error.to_string(), "the step a is larger than 64 KiB");
        assert!(matches!(Step::new("a", "x\0"), Err(StepError::Binary { .. })));
        assert_eq!(format!("{:?}", Step::new("a", "secret").unwrap()), "Step(a, 6 bytes)");
    }
}
