//! Evidence that nothing needs a version, on the admin socket.

use claviger_kms::{Evidence, SubmitEvidence};

use crate::{
    admin::CHANGING,
    caller::Kms,
    json::{Json, Reply},
    problem::Result,
    route::Route,
};

pub(crate) fn route() -> Route {
    Route::post(
        "/v1/evidence",
        "submit_evidence",
        "Submits evidence that nothing needs a disabled version",
        submit,
    )
    .saying(
        "It replaces what was submitted before about the version; a report that finds the version in use \
         withdraws it. A refusal names every rule that is not met.",
    )
    .failing(CHANGING)
}

async fn submit(Kms(kms): Kms, Json(request): Json<SubmitEvidence>) -> Result<Reply<Evidence>> {
    Ok(Reply(kms.submit_evidence(request).await?))
}
