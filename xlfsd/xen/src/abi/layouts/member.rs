//! How a struct of the hypervisor's is declared: its members' names in C, and
//! whether every release has them.

macro_rules! field_type {
    (req $t:ty) => { Field<$t> };
    (opt $t:ty) => { Option<Field<$t>> };
}

macro_rules! field_value {
    (req $data:ident $c:literal $found:expr, $names:expr) => {
        $found.ok_or(LayoutError::NoMember { name: $c, member: $names[0] })?
    };
    (opt $data:ident $c:literal $found:expr, $names:expr) => {
        $found
    };
}

macro_rules! layout {
    ($(#[$doc:meta])* $name:ident = $c:literal {
        $($need:ident $field:ident: $t:ty = $($member:literal)|+,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        #[allow(missing_docs, reason = "members are documented in Xen's headers under their names in C")]
        pub struct $name {
            /// Bytes of the whole struct.
            pub size: usize,
            $(pub $field: field_type!($need $t),)*
        }

        impl $name {
            /// The struct's name in C.
            pub const C_NAME: &'static str = $c;

            pub(super) fn resolve(data: &AbiData) -> Result<Self, LayoutError> {
                let size = data.layout($c).ok_or(LayoutError::NoStruct { name: $c })?.size;
                Ok(Self {
                    size,
                    $($field: {
                        const NAMES: &[&str] = &[$($member),+];
                        let found = resolve::<$t>(data, $c, NAMES)?;
                        field_value!($need data $c found, NAMES)
                    },)*
                })
            }

            #[allow(dead_code, reason = "only for structs that some releases lack")]
            pub(super) fn resolve_optional(data: &AbiData) -> Result<Option<Self>, LayoutError> {
                data.layout($c).map(|_| Self::resolve(data)).transpose()
            }

            /// A zeroed buffer for one of it.
            #[must_use]
            pub fn zeroed(&self) -> Vec<u8> {
                vec![0; self.size]
            }

            #[cfg(test)]
            pub(super) fn members(&self) -> Vec<(&'static [&'static str], Option<(usize, usize)>)> {
                trait Place { fn place(&self) -> Option<(usize, usize)>; }
                impl<T> Place for Field<T> {
                    fn place(&self) -> Option<(usize, usize)> { Some((self.offset, self.size)) }
                }
                impl<T> Place for Option<Field<T>> {
                    fn place(&self) -> Option<(usize, usize)> {
                        self.as_ref().map(|f| (f.offset, f.size))
                    }
                }
                vec![$((&[$($member),+] as &[&str], self.$field.place())),*]
            }
        }
    };
}

pub(super) use {field_type, field_value, layout};
