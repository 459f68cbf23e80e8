//! The steps of the walk: what is sent, what must come back, and why.
//!
//! Who may do what is in `policies/`: Ana is on call for `projects/demo` and may cancel, Bob may only read, Erin may
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
    pub(super) requests: Vec<StepRequest>,
    /// Why the expected responses are the right ones.
    pub(super) why: &'static str,
}

/// A request, and what must come back.
#[derive(Clone, Debug)]
pub(super) struct StepRequest {
    pub(super) caller: Option<StepCaller>,
    pub(super) method: &'static str,
    pub(super) service: DemoService,
    pub(super) target: &'static str,
    pub(super) body: StepBody,
    pub(super) expected: Expectation,
}

/// Whose token is sent, and with which scope.
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
    /// The backend's 404, asked again until the operation is gone.
    EventuallyGone,
    /// The refusal of opgate. Nothing reached the backend.
    Refused(Reason),
    /// The backend's own refusal, passed through.
    Unimplemented,
}

/// What a 200 must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExpectedBody {
    /// An operation that runs, and whose cancel was not requested.
    Running,
    /// An operation that ended in `error.code` 1.
    Cancelled,
    /// An operation that ended in another error.
    Failed,
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
/// The target of all requests that must not get through. At the end it must still run.
const VICTIM: &str = "/v1/projects/demo/locations/us-central1/operations/train-2";
const CANCEL_VICTIM: &str = "/v1/projects/demo/locations/us-central1/operations/train-2:cancel";

/// All steps, in order.
pub(super) fn steps() -> Vec<WalkStep> {
    let mut steps = allowed();
    steps.extend(refused_callers());
    steps.extend(refused_requests());
    steps
}

fn get(caller: StepCaller, service: DemoService, target: &'static str, expected: Expectation) -> StepRequest {
    StepRequest { caller: Some(caller), method: "GET", service, target, body: StepBody::Empty, expected }
}

fn post(
    caller: StepCaller,
    service: DemoService,
    target: &'static str,
    expected: Expectation,
) -> StepRequest {
    StepRequest { method: "POST", ..get(caller, service, target, expected) }
}

/// An attempt to cancel the victim.
fn attempt(caller: StepCaller, reason: Reason) -> StepRequest {
    post(caller, DemoService::Companion, CANCEL_VICTIM, Expectation::Refused(reason))
}

fn allowed() -> Vec<WalkStep> {
    use DemoService::{Companion, Dataproc, Translation};
    use Expectation::{Allowed, Eventually, EventuallyGone};
    use ExpectedBody::{Cancelled, EmptyObject, Failed, Finished, Nothing, Running};

    const STUBBORN: &str = "/v1/projects/demo/locations/us-central1/operations/stubborn-1";
    const CANCEL_STUBBORN: &str = "/v1/projects/demo/locations/us-central1/operations/stubborn-1:cancel";
    const FLAKY: &str = "/v1/projects/demo/locations/europe-west1/operations/flaky-1";
    const CANCEL_FLAKY: &str = "/v1/projects/demo/locations/europe-west1/operations/flaky-1:cancel";
    const FLEETING: &str = "/v1/projects/demo/locations/europe-west1/operations/fleeting-1";
    const CANCEL_FLEETING: &str = "/v1/projects/demo/locations/europe-west1/operations/fleeting-1:cancel";
    const JOB: &str = "/v1/projects/demo/regions/us-central1/operations/job-1";
    const CANCEL_JOB: &str = "/v1/projects/demo/regions/us-central1/operations/job-1:cancel";
    const BATCH: &str = "/v3/projects/demo/operations/batch-1";
    const CANCEL_BATCH: &str = "/v3/projects/demo/operations/batch-1:cancel";
    const CANCEL_OTHER_BATCH: &str = "/v3/projects/other/operations/batch-1:cancel";
    let translator = StepCaller { scope: CLOUD_TRANSLATION, ..ERIN };
    vec![
        WalkStep {
            title: "Allowed: Ana cancels an operation",
            requests: vec![
                get(ANA, Companion, TRAIN, Allowed(Running)),
                post(ANA, Companion, CANCEL_TRAIN, Allowed(EmptyObject)),
                get(ANA, Companion, TRAIN, Eventually(Cancelled)),
            ],
            why: "she is on call, and may cancel in this project",
        },
        WalkStep {
            title: "Too late: Ana cancels an operation at its end",
            requests: vec![
                post(ANA, Companion, CANCEL_STUBBORN, Allowed(EmptyObject)),
                get(ANA, Companion, STUBBORN, Eventually(Finished)),
            ],
            why: "200 only means that the cancel was requested",
        },
        WalkStep {
            title: "Other ends: Ana cancels one that breaks, one that goes",
            requests: vec![
                post(ANA, Companion, CANCEL_FLAKY, Allowed(EmptyObject)),
                get(ANA, Companion, FLAKY, Eventually(Failed)),
                post(ANA, Companion, CANCEL_FLEETING, Allowed(EmptyObject)),
                get(ANA, Companion, FLEETING, EventuallyGone),
            ],
            why: "opgate counts what became of each",
        },
        WalkStep {
            title: "Another service: Ana cancels a Dataproc job",
            requests: vec![
                post(ANA, Dataproc, CANCEL_JOB, Allowed(EmptyObject)),
                get(ANA, Dataproc, JOB, Eventually(Cancelled)),
            ],
            why: "another service is another policy file",
        },
        WalkStep {
            title: "Scopes only: Erin cancels translations",
            requests: vec![
                post(translator, Translation, CANCEL_BATCH, Allowed(Nothing)),
                get(translator, Translation, BATCH, Eventually(Cancelled)),
                post(ERIN, Translation, CANCEL_OTHER_BATCH, Allowed(Nothing)),
            ],
            why: "this service checks scopes alone",
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
            title: "Missing token: a client cancels without one",
            requests: vec![StepRequest { caller: None, ..attempt(ANA, Reason::CredentialsMissing) }],
            why: "the answer is the challenge alone",
        },
        WalkStep {
            title: "Expired token: Ana cancels with an old one",
            requests: vec![attempt(StepCaller { expired: true, ..ANA }, Reason::TokenExpired)],
            why: "the token ended hours ago",
        },
        WalkStep {
            title: "Wrong scope: Ana cancels with a token for Drive",
            requests: vec![attempt(
                StepCaller { scope: "https://www.googleapis.com/auth/drive.readonly", ..ANA },
                Reason::ScopeInsufficient,
            )],
            why: "the token is for another API",
        },
        WalkStep {
            title: "No permission: Bob reads, then cancels",
            requests: vec![
                get(BOB, Companion, VICTIM, Allowed(Running)),
                attempt(BOB, Reason::PermissionDenied),
            ],
            why: "these are two permissions",
        },
        WalkStep {
            title: "Another project: Erin cancels in hers, then elsewhere",
            requests: vec![
                post(ERIN, Companion, CANCEL_OTHER, Allowed(EmptyObject)),
                attempt(ERIN, Reason::PermissionDenied),
            ],
            why: "her permission ends with her project",
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
            title: "Non-empty body: Ana's names another operation",
            requests: vec![
                StepRequest { body: StepBody::Length(BODY), ..attempt(ANA, Reason::BodyRefused) },
                StepRequest { body: StepBody::Chunked(BODY), ..attempt(ANA, Reason::BodyRefused) },
            ],
            why: "a backend could prefer the body to the path",
        },
        WalkStep {
            title: "Path trick: Erin writes `..`, plain and encoded",
            requests: vec![
                post(ERIN, Companion, DOTS, Refused(Reason::RequestMalformed)),
                post(ERIN, Companion, HIDDEN_DOTS, Refused(Reason::RequestMalformed)),
            ],
            why: "two servers could read such a path differently",
        },
        WalkStep {
            title: "Undeclared: CI calls methods that no file declares",
            requests: vec![
                post(CI, Companion, ABORT, Refused(Reason::MethodNotFound)),
                get(CI, Companion, CANCEL_VICTIM, Refused(Reason::HttpMethodNotAllowed)),
            ],
            why: "only declared methods exist",
        },
        WalkStep {
            title: "Unimplemented: CI waits for a Dataproc job",
            requests: vec![post(CI, Dataproc, WAIT_JOB, Unimplemented)],
            why: "errors of the backend are passed on unchanged",
        },
        WalkStep {
            title: "Afterwards: Ana reads the operation they aimed at",
            requests: vec![get(ANA, Companion, VICTIM, Allowed(Running))],
            why: "it still runs: no refused cancel reached it",
        },
    ]
}
