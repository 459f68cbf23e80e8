//! The steps of the walk: what is sent, what must come back, and what that proves.
//!
//! Who may do what is in `policies/`: Ana is on call for `projects/demo` and may cancel, Bob may only look, Erin may
//! cancel in `projects/other`, and CI may do everything.

use crate::dev::issuer::{CLOUD_PLATFORM, CLOUD_TRANSLATION};
use crate::dev::operations::DemoService;
use crate::reason::Reason;

/// One step.
#[derive(Debug)]
pub(super) struct WalkStep {
    /// What it is about.
    pub(super) title: &'static str,
    /// Its requests, in order.
    pub(super) exchanges: Vec<StepRequest>,
    /// What it has shown if all of them came out.
    pub(super) proves: &'static str,
}

/// A request and the outcome that it must have.
#[derive(Clone, Debug)]
pub(super) struct StepRequest {
    pub(super) caller: Option<StepCaller>,
    pub(super) method: &'static str,
    pub(super) service: DemoService,
    pub(super) target: &'static str,
    pub(super) body: StepBody,
    pub(super) outcome: Expectation,
}

/// Whose token goes along, with which scope.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepCaller {
    pub(super) email: &'static str,
    pub(super) scope: &'static str,
    pub(super) expired: bool,
}

impl DemoService {
    /// The host name; `*.localhost` is loopback everywhere (RFC 6761, section 6.3).
    pub(super) fn host(self) -> &'static str {
        match self {
            Self::Companion => "cloudaicompanion.localhost",
            Self::Dataproc => "dataproc.localhost",
            Self::Translation => "translation.localhost",
        }
    }
}

/// A body and how it is framed.
#[derive(Clone, Copy, Debug)]
pub(super) enum StepBody {
    Empty,
    Length(&'static str),
    Chunked(&'static str),
}

/// What must come back, and whether the backend may have seen anything.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expectation {
    /// The backend's 200.
    Allowed(ExpectedBody),
    /// As `Allowed`, asked again until the operation is done.
    Eventually(ExpectedBody),
    /// The gate's refusal. Nothing reached the backend.
    Refused(Reason),
    /// The backend's own refusal, passed through.
    Unimplemented,
}

/// What a 200 must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExpectedBody {
    /// An operation that runs and that nobody asked to cancel.
    Running,
    /// An operation that ended in `error.code` 1.
    Cancelled,
    /// An operation that ended in a response.
    Finished,
    /// `{}`
    EmptyObject,
    /// No body.
    Nothing,
}

const ANA: StepCaller = StepCaller { email: "ana@example.com", scope: CLOUD_PLATFORM, expired: false };
const BOB: StepCaller = StepCaller { email: "bob@example.com", ..ANA };
const ERIN: StepCaller = StepCaller { email: "erin@example.com", ..ANA };
const CI: StepCaller = StepCaller { email: "ci@demo.iam.gserviceaccount.com", ..ANA };

const TRAIN: &str = "/v1/projects/demo/locations/us-central1/operations/train-1";
const CANCEL_TRAIN: &str = "/v1/projects/demo/locations/us-central1/operations/train-1:cancel";
/// The target of everything that must not get through; it must still be running in the end.
const VICTIM: &str = "/v1/projects/demo/locations/us-central1/operations/train-2";
const CANCEL_VICTIM: &str = "/v1/projects/demo/locations/us-central1/operations/train-2:cancel";

/// All steps, in order.
pub(super) fn steps() -> Vec<WalkStep> {
    let mut steps = allowed();
    steps.extend(refused_callers());
    steps.extend(refused_requests());
    steps
}

fn get(caller: StepCaller, service: DemoService, target: &'static str, outcome: Expectation) -> StepRequest {
    StepRequest { caller: Some(caller), method: "GET", service, target, body: StepBody::Empty, outcome }
}

fn post(caller: StepCaller, service: DemoService, target: &'static str, outcome: Expectation) -> StepRequest {
    StepRequest { method: "POST", ..get(caller, service, target, outcome) }
}

/// An attempt to cancel the victim.
fn attempt(caller: StepCaller, reason: Reason) -> StepRequest {
    post(caller, DemoService::Companion, CANCEL_VICTIM, Expectation::Refused(reason))
}

fn allowed() -> Vec<WalkStep> {
    use DemoService::{Companion, Dataproc, Translation};
    use Expectation::{Allowed, Eventually};
    use ExpectedBody::{Cancelled, EmptyObject, Finished, Nothing, Running};

    const STUBBORN: &str = "/v1/projects/demo/locations/us-central1/operations/stubborn-1";
    const CANCEL_STUBBORN: &str = "/v1/projects/demo/locations/us-central1/operations/stubborn-1:cancel";
    const JOB: &str = "/v1/projects/demo/regions/us-central1/operations/job-1";
    const CANCEL_JOB: &str = "/v1/projects/demo/regions/us-central1/operations/job-1:cancel";
    const BATCH: &str = "/v3/projects/demo/operations/batch-1";
    const CANCEL_BATCH: &str = "/v3/projects/demo/operations/batch-1:cancel";
    const CANCEL_OTHER_BATCH: &str = "/v3/projects/other/operations/batch-1:cancel";
    let translator = StepCaller { scope: CLOUD_TRANSLATION, ..ERIN };
    vec![
        WalkStep {
            title: "Allowed: Ana cancels an operation",
            exchanges: vec![
                get(ANA, Companion, TRAIN, Allowed(Running)),
                post(ANA, Companion, CANCEL_TRAIN, Allowed(EmptyObject)),
                get(ANA, Companion, TRAIN, Eventually(Cancelled)),
            ],
            proves: "an allowed cancel reaches the backend, and the operation ends in error.code 1",
        },
        WalkStep {
            title: "Too late: Ana cancels an operation that is about to finish",
            exchanges: vec![
                post(ANA, Companion, CANCEL_STUBBORN, Allowed(EmptyObject)),
                get(ANA, Companion, STUBBORN, Eventually(Finished)),
            ],
            proves: "200 on a cancel means that it was asked for, not that it came in time; only a Get tells",
        },
        WalkStep {
            title: "Another service: Ana cancels a Dataproc job",
            exchanges: vec![
                post(ANA, Dataproc, CANCEL_JOB, Allowed(EmptyObject)),
                get(ANA, Dataproc, JOB, Eventually(Cancelled)),
            ],
            proves: "another service with names of another shape is another policy file, not other code",
        },
        WalkStep {
            title: "Scopes only: Erin cancels translations, with either of two scopes",
            exchanges: vec![
                post(translator, Translation, CANCEL_BATCH, Allowed(Nothing)),
                get(translator, Translation, BATCH, Eventually(Cancelled)),
                post(ERIN, Translation, CANCEL_OTHER_BATCH, Allowed(Nothing)),
            ],
            proves: "this service asks for a scope and for no IAM permission, and its empty answer stays empty",
        },
    ]
}

fn refused_callers() -> Vec<WalkStep> {
    use DemoService::Companion;
    use Expectation::Allowed;
    use ExpectedBody::{EmptyObject, Running};

    const CANCEL_OTHER: &str = "/v1/projects/other/locations/us-central1/operations/train-1:cancel";
    vec![
        WalkStep {
            title: "Missing token: somebody cancels",
            exchanges: vec![StepRequest { caller: None, ..attempt(ANA, Reason::CredentialsMissing) }],
            proves: "without a credential there is nothing but the challenge",
        },
        WalkStep {
            title: "Expired token: Ana cancels with the one from this morning",
            exchanges: vec![attempt(StepCaller { expired: true, ..ANA }, Reason::TokenExpired)],
            proves: "a good signature does not outlive the token",
        },
        WalkStep {
            title: "Wrong scope: Ana cancels with a token for Drive",
            exchanges: vec![attempt(
                StepCaller { scope: "https://www.googleapis.com/auth/drive.readonly", ..ANA },
                Reason::ScopeInsufficient,
            )],
            proves: "a permission does not help a token that was given out for something else",
        },
        WalkStep {
            title: "No permission: Bob looks, then cancels",
            exchanges: vec![
                get(BOB, Companion, VICTIM, Allowed(Running)),
                attempt(BOB, Reason::PermissionDenied),
            ],
            proves: "looking and cancelling are two permissions",
        },
        WalkStep {
            title: "Another project: Erin cancels in hers, then elsewhere",
            exchanges: vec![
                post(ERIN, Companion, CANCEL_OTHER, Allowed(EmptyObject)),
                attempt(ERIN, Reason::PermissionDenied),
            ],
            proves: "a permission holds where it was granted",
        },
    ]
}

fn refused_requests() -> Vec<WalkStep> {
    use DemoService::{Companion, Dataproc};
    use Expectation::{Allowed, Refused, Unimplemented};
    use ExpectedBody::Running;

    // Erin may cancel in `projects/other`, and this body says so; the path does not.
    const BODY: &str = r#"{"name":"projects/other/locations/us-central1/operations/train-1"}"#;
    const DOTS: &str = "/v1/projects/other/../demo/locations/us-central1/operations/train-2:cancel";
    const HIDDEN_DOTS: &str =
        "/v1/projects/other%2F..%2Fdemo/locations/us-central1/operations/train-2:cancel";
    const ABORT: &str = "/v1/projects/demo/locations/us-central1/operations/train-2:abort";
    const WAIT_JOB: &str = "/v1/projects/demo/regions/us-central1/operations/job-1:wait";
    vec![
        WalkStep {
            title: "Non-empty body: Ana's names another operation than the path",
            exchanges: vec![
                StepRequest { body: StepBody::Length(BODY), ..attempt(ANA, Reason::BodyRefused) },
                StepRequest { body: StepBody::Chunked(BODY), ..attempt(ANA, Reason::BodyRefused) },
            ],
            proves: "a backend that prefers the body to the path is never given the choice, however it is framed",
        },
        WalkStep {
            title: "Path trick: Erin writes one that two servers would read differently",
            exchanges: vec![
                post(ERIN, Companion, DOTS, Refused(Reason::RequestMalformed)),
                post(ERIN, Companion, HIDDEN_DOTS, Refused(Reason::RequestMalformed)),
            ],
            proves: "the path that is judged is the path that is sent, byte for byte, or neither",
        },
        WalkStep {
            title: "Undeclared: CI calls a method that does not exist, and one in the wrong way",
            exchanges: vec![
                post(CI, Companion, ABORT, Refused(Reason::MethodNotFound)),
                get(CI, Companion, CANCEL_VICTIM, Refused(Reason::HttpMethodNotAllowed)),
            ],
            proves: "what the service files do not declare does not exist",
        },
        WalkStep {
            title: "Unimplemented: CI waits for a Dataproc job",
            exchanges: vec![post(CI, Dataproc, WAIT_JOB, Unimplemented)],
            proves: "what the backend answers is passed on as it is, errors too",
        },
        WalkStep {
            title: "Afterwards: the operation that they all aimed at",
            exchanges: vec![get(ANA, Companion, VICTIM, Allowed(Running))],
            proves: "it runs on, and no cancel ever reached it",
        },
    ]
}
