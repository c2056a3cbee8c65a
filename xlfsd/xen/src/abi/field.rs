//! A member of a C struct: where it stands, and how its value is written.

use std::marker::PhantomData;

use super::data::AbiData;

/// Why a layout could not be resolved.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LayoutError {
    /// No such struct in this release.
    #[error("no struct {name}")]
    NoStruct {
        /// Its name in C.
        name: &'static str,
    },
    /// No such member in this release's struct.
    #[error("struct {name} has no member {member}")]
    NoMember {
        /// Its name in C.
        name: &'static str,
        /// The names that were tried.
        member: &'static str,
    },
    /// The member has another size than the Rust type that stands for it.
    #[error("{name}.{member} has {found} bytes, not {expected}")]
    Size {
        /// Its name in C.
        name: &'static str,
        /// The member's name.
        member: &'static str,
        /// What the code expects.
        expected: usize,
        /// What the data says.
        found: usize,
    },
    /// No such constant in this release.
    #[error("no constant {name}")]
    NoConstant {
        /// Its name in C.
        name: &'static str,
    },
}

/// A value that stands in a struct, little-endian as x86 has it.
pub trait Scalar: Sized {
    /// Bytes it takes; 0 for [`Nested`], which takes any number.
    const SIZE: usize;
    /// Decodes it from the first `SIZE` bytes.
    fn load(bytes: &[u8]) -> Self;
    /// Encodes it into the first `SIZE` bytes.
    fn store(self, bytes: &mut [u8]);
}

macro_rules! integers {
    ($($t:ty)*) => {$(
        impl Scalar for $t {
            const SIZE: usize = size_of::<$t>();
            fn load(bytes: &[u8]) -> Self {
                let mut raw = [0; size_of::<$t>()];
                raw.copy_from_slice(&bytes[..size_of::<$t>()]);
                <$t>::from_le_bytes(raw)
            }
            fn store(self, bytes: &mut [u8]) {
                bytes[..size_of::<$t>()].copy_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
integers!(u8 u16 u32 u64);

impl<const N: usize> Scalar for [u8; N] {
    const SIZE: usize = N;
    fn load(bytes: &[u8]) -> Self {
        let mut raw = [0; N];
        raw.copy_from_slice(&bytes[..N]);
        raw
    }
    fn store(self, bytes: &mut [u8]) {
        bytes[..N].copy_from_slice(&self);
    }
}

/// A struct, union or array inside a struct: only its place matters.
#[derive(Debug, Clone, Copy)]
pub struct Nested;

/// A member of type `T` at an offset that depends on the release.
#[derive(Debug)]
pub struct Field<T> {
    /// Bytes from the start of the struct.
    pub offset: usize,
    /// Bytes that it takes.
    pub size: usize,
    kind: PhantomData<fn() -> T>,
}

// Derived, these would ask for T: Copy.
impl<T> Clone for Field<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Field<T> {}

impl<T: Scalar> Field<T> {
    /// Its value in the struct that begins at `bytes`.
    #[must_use]
    pub fn get(&self, bytes: &[u8]) -> T {
        T::load(&bytes[self.offset..])
    }

    /// Sets it in the struct that begins at `bytes`.
    pub fn put(&self, bytes: &mut [u8], value: T) {
        value.store(&mut bytes[self.offset..]);
    }
}

impl Field<Nested> {
    /// The bytes of the inner struct.
    #[must_use]
    pub fn of<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.offset..self.offset + self.size]
    }

    /// The bytes of the inner struct, to be written.
    pub fn of_mut<'a>(&self, bytes: &'a mut [u8]) -> &'a mut [u8] {
        &mut bytes[self.offset..self.offset + self.size]
    }
}

/// Gives the size that a member must have, if any.
pub(super) trait FieldType {
    const EXPECTED: Option<usize>;
}
impl<T: Scalar> FieldType for T {
    const EXPECTED: Option<usize> = Some(T::SIZE);
}
impl FieldType for Nested {
    const EXPECTED: Option<usize> = None;
}

/// Finds a member under the first of `names` that the struct has.
pub(super) fn resolve<T: FieldType>(
    data: &AbiData,
    name: &'static str,
    names: &[&'static str],
) -> Result<Option<Field<T>>, LayoutError> {
    let layout = data.layout(name).ok_or(LayoutError::NoStruct { name })?;
    let Some((member, found)) =
        names.iter().find_map(|member| Some((*member, layout.members.get(*member)?)))
    else {
        return Ok(None);
    };
    let (offset, size) = (found.0, found.1);
    if let Some(expected) = T::EXPECTED
        && expected != size
    {
        return Err(LayoutError::Size { name, member, expected, found: size });
    }
    Ok(Some(Field { offset, size, kind: PhantomData }))
}
