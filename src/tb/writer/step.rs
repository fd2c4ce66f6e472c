//! Steps of any integer type.

use crate::tb::writer::WriteError;

/// A step that [`SummaryWriter`](crate::tb::writer::SummaryWriter) takes: any integer type.
///
/// Event files hold steps as `i64`; a number beyond that is an error, never another step.
pub trait Step: Copy + sealed::Sealed {
    /// The step as event files hold it.
    ///
    /// # Errors
    /// [`WriteError::Step`] for a number beyond 64 bits.
    fn to_i64(self) -> Result<i64, WriteError>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! steps {
    ($($integer:ty)*) => {$(
        impl sealed::Sealed for $integer {}
        impl Step for $integer {
            fn to_i64(self) -> Result<i64, WriteError> {
                i64::try_from(self).map_err(|_| WriteError::Step { found: self.to_string() })
            }
        }
    )*};
}
steps!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_fit_or_are_refused() {
        assert_eq!(3_usize.to_i64().unwrap(), 3);
        assert_eq!((-3_i8).to_i64().unwrap(), -3);
        assert_eq!(i64::MIN.to_i64().unwrap(), i64::MIN);
        let error = u64::MAX.to_i64().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the step is 18446744073709551615; it must fit in a signed 64-bit integer"
        );
        assert!((i128::from(i64::MIN) - 1).to_i64().is_err());
    }
}
