//! From the binding's errors to ours: (function, return code) kept, in PKCS#11's own spelling.
//!
//! Modules disagree on return codes, so almost nothing is decided by them: `worker.rs` asks the token
//! whether it is still there. The one table here is what a failed `C_Login` means, since it alone decides
//! whether a PIN may be tried again.

use cryptoki::{
    context::Function,
    error::{Error, RvError},
};

use crate::TokenError;

/// Why one attempt at a question failed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The answer is an error of our own making, for instance that an object is missing.
    Decided(TokenError),
    /// There is no connection to the token now; nothing was asked.
    Down(TokenError),
    /// A call into the module failed.
    Call(Error),
}

impl From<TokenError> for Fault {
    fn from(error: TokenError) -> Self {
        Self::Decided(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl Fault {
    /// The error when the token was found alive: it refused what was asked.
    pub(crate) fn refused(self) -> TokenError {
        match self {
            Self::Decided(error) | Self::Down(error) => error,
            Self::Call(error) => {
                let (function, code) = function_and_code(&error);
                TokenError::Refused { function, code }
            }
        }
    }

    /// The error when the token was not found alive.
    pub(crate) fn unreachable(self) -> TokenError {
        match self {
            Self::Decided(TokenError::ObjectMissing { what }) => TokenError::Unreachable {
                function: "C_FindObjects",
                code: format!("no {what}, nor any other key that was there before"),
            },
            Self::Decided(error) | Self::Down(error) => error,
            Self::Call(error) => unreachable(&error),
        }
    }
}

/// [`TokenError::Unreachable`] with the function and the code.
pub(crate) fn unreachable(error: &Error) -> TokenError {
    let (function, code) = function_and_code(error);
    TokenError::Unreachable { function, code }
}

/// Whether a failed `C_Login` says nothing about the PIN, so that it may be tried again after an
/// outage. Everything not listed counts as a refusal: tokens lock after 3 to 10 attempts.
pub(crate) fn login_never_reached_the_token(error: &Error) -> bool {
    let Error::Pkcs11(code, _) = error else { return false };
    matches!(
        code,
        RvError::CryptokiNotInitialized
            | RvError::DeviceError
            | RvError::DeviceMemory
            | RvError::DeviceRemoved
            | RvError::GeneralError
            | RvError::HostMemory
            | RvError::SessionClosed
            | RvError::SessionHandleInvalid
            | RvError::TokenNotPresent
            | RvError::TokenNotRecognized
    )
}

/// Function and return code as PKCS#11 spells them, e.g. `C_Sign`, `CKR_DEVICE_ERROR`.
pub(crate) fn function_and_code(error: &Error) -> (&'static str, String) {
    match error {
        Error::Pkcs11(code, function) => (name_of(*function), code_name(code)),
        Error::NullFunctionPointer => ("a function", "CKR_FUNCTION_NOT_SUPPORTED".to_owned()),
        other => ("a function", other.to_string()),
    }
}

/// `PinIncorrect` becomes `CKR_PIN_INCORRECT`.
fn code_name(code: &RvError) -> String {
    if let RvError::VendorDefined(number) = code {
        return format!("CKR_VENDOR_DEFINED + {:#x}", number & 0x7fff_ffff);
    }
    let mut name = "CKR".to_owned();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

fn name_of(function: Function) -> &'static str {
    match function {
        Function::Initialize => "C_Initialize",
        Function::Finalize => "C_Finalize",
        Function::GetInfo => "C_GetInfo",
        Function::GetSlotList => "C_GetSlotList",
        Function::GetSlotInfo => "C_GetSlotInfo",
        Function::GetTokenInfo => "C_GetTokenInfo",
        Function::OpenSession => "C_OpenSession",
        Function::CloseSession => "C_CloseSession",
        Function::GetSessionInfo => "C_GetSessionInfo",
        Function::Login => "C_Login",
        Function::CreateObject => "C_CreateObject",
        Function::CopyObject => "C_CopyObject",
        Function::DestroyObject => "C_DestroyObject",
        Function::GetAttributeValue => "C_GetAttributeValue",
        Function::SetAttributeValue => "C_SetAttributeValue",
        Function::FindObjectsInit => "C_FindObjectsInit",
        Function::FindObjects => "C_FindObjects",
        Function::SignInit => "C_SignInit",
        Function::Sign => "C_Sign",
        Function::VerifyInit => "C_VerifyInit",
        Function::Verify => "C_Verify",
        Function::GenerateKey => "C_GenerateKey",
        Function::GenerateKeyPair => "C_GenerateKeyPair",
        Function::GenerateRandom => "C_GenerateRandom",
        _ => "a function",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(code: RvError) -> Error {
        Error::Pkcs11(code, Function::Login)
    }

    #[test]
    fn names_are_those_of_the_standard() {
        let error = login(RvError::PinIncorrect);
        assert_eq!(function_and_code(&error), ("C_Login", "CKR_PIN_INCORRECT".to_owned()));
        let vendor = login(RvError::VendorDefined(0x8000_0102));
        assert_eq!(function_and_code(&vendor).1, "CKR_VENDOR_DEFINED + 0x102");
    }

    #[test]
    fn a_login_is_tried_again_only_if_the_pin_cannot_be_the_reason() {
        for code in [
            RvError::PinIncorrect,
            RvError::PinLocked,
            RvError::PinExpired,
            RvError::PinLenRange,
            RvError::UserPinNotInitialized,
            RvError::FunctionFailed,
            RvError::FunctionCanceled,
            RvError::VendorDefined(0x8000_0001),
        ] {
            assert!(!login_never_reached_the_token(&login(code)), "{code:?}");
        }
        assert!(login_never_reached_the_token(&login(RvError::DeviceError)));
        assert!(!login_never_reached_the_token(&Error::InvalidValue));
    }

    #[test]
    fn an_alive_token_refused_and_an_absent_one_is_unreachable() {
        let fault = || Fault::Call(Error::Pkcs11(RvError::GeneralError, Function::Sign));
        let code = "CKR_GENERAL_ERROR".to_owned();
        assert_eq!(
            fault().refused(),
            TokenError::Refused { function: "C_Sign", code: code.clone() }
        );
        assert_eq!(fault().unreachable(), TokenError::Unreachable { function: "C_Sign", code });
    }
}
