//! Tests of the budget: what it admits, which priorities it stops first, and when it admits requests again.

use super::*;
use crate::response::response;

const READS: &str = "x-ms-ratelimit-remaining-subscription-reads";
const GLOBAL_READS: &str = "x-ms-ratelimit-remaining-subscription-global-reads";
const WRITES: &str = "x-ms-ratelimit-remaining-subscription-writes";
const RESOURCE: &str = "x-ms-ratelimit-remaining-resource";

const ANN: Priority = Priority::Caller(CallerId(1));
const BOB: Priority = Priority::Caller(CallerId(2));

struct TestBudget {
    clock: Clock,
    budget: Arc<Budget>,
}

impl TestBudget {
    fn new() -> Self {
        let clock = Clock::manual(1_700_000_000_000);
        Self { budget: Arc::new(Budget::new(clock.clone())), clock }
    }

    /// A budget after a response with these headers.
    fn with_headers(headers: &[(&'static str, &str)]) -> Self {
        let budget = Self::new();
        budget.respond(SKUS, headers);
        budget
    }

    /// Sends a request as Bob and receives these headers.
    fn respond(&self, (name, method, url): TestRequest, headers: &[(&'static str, &str)]) {
        let kind = RequestKind { name, method: &method, url };
        self.budget.reserve(BOB, &kind).observe(&response(200, headers, "").headers);
    }

    /// Sends a request as Bob and receives a 429.
    fn throttle(&self, (name, method, url): TestRequest, code: &str, retry_after: &'static str) {
        let body = format!(r#"{{"error":{{"code":"{code}"}}}}"#);
        let response = response(429, &[("retry-after", retry_after)], &body);
        let error = ArmError::new(method.clone(), url, response, &self.clock);
        let kind = RequestKind { name, method: &method, url };
        self.budget.reserve(BOB, &kind).record_throttling(&error);
    }

    fn admit(&self, priority: Priority, (name, method, url): TestRequest) -> Result<Reservation, Deferral> {
        self.budget.admit(priority, &RequestKind { name, method: &method, url })
    }

    /// The reason for which a request is not admitted; `None` if it is admitted and finishes.
    fn rejection(&self, priority: Priority, request: TestRequest) -> Option<DeferralReason> {
        self.admit(priority, request).err().map(|deferral| deferral.rejection.reason)
    }

    fn advance(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }
}

type TestRequest = (RequestName, Method, &'static str);

const SKUS: TestRequest = (RequestName::ListSkus, Method::GET, "https://management.azure.com/skus");
const SIZES: TestRequest =
    (RequestName::ListVmSizes, Method::GET, "https://management.azure.com/eastus/vmSizes");
const VERSIONS: TestRequest =
    (RequestName::ListKubernetesVersions, Method::GET, "https://management.azure.com/versions");
const PUT: TestRequest = (RequestName::PutManagedCluster, Method::PUT, "https://management.azure.com/one");
const DELETE: TestRequest =
    (RequestName::DeleteManagedCluster, Method::DELETE, "https://management.azure.com/one");

#[test]
fn nothing_is_limited_without_headers() {
    let budget = TestBudget::with_headers(&[]);
    let held: Vec<_> = (0..1_000).map(|_| budget.admit(Priority::Background, VERSIONS).unwrap()).collect();
    assert_eq!(held.len(), 1_000);
    budget.throttle(VERSIONS, "TooManyRequests", "soon");
    assert_eq!(
        budget.rejection(Priority::Background, VERSIONS),
        None,
        "a 429 that does not say when to retry"
    );
}

#[test]
fn background_stops_first_and_callers_last() {
    use DeferralReason::{Background, Exhausted, Speculative};
    for (left, background, speculative, caller) in [
        ("249", None, None, None),
        ("51", None, None, None),
        ("49", Some(Background), None, None),
        ("25", Some(Background), None, None),
        ("24", Some(Background), Some(Speculative), None),
        ("1", Some(Background), Some(Speculative), None),
        ("0", Some(Background), Some(Speculative), Some(Exhausted)),
    ] {
        let budget = TestBudget::with_headers(&[(READS, "249")]);
        budget.respond(VERSIONS, &[(READS, left)]);
        let rejections = [Priority::Background, Priority::Speculative, ANN].map(|priority| {
            let rejection = budget.rejection(priority, VERSIONS);
            // An admitted request counts as spent: report the same number again.
            budget.respond(VERSIONS, &[(READS, left)]);
            rejection
        });
        assert_eq!(rejections, [background, speculative, caller], "{left}");
    }
}

#[test]
fn small_budget_has_an_absolute_floor() {
    let budget = TestBudget::with_headers(&[(READS, "9")]);
    assert_eq!(budget.rejection(Priority::Background, VERSIONS), Some(DeferralReason::Background));
    assert_eq!(budget.rejection(Priority::Speculative, VERSIONS), None);
    budget.respond(VERSIONS, &[(READS, "4")]);
    assert_eq!(budget.rejection(Priority::Speculative, VERSIONS), Some(DeferralReason::Speculative));
    assert_eq!(budget.rejection(ANN, VERSIONS), None);
}

#[test]
fn reads_writes_and_deletes_have_separate_limits() {
    let budget = TestBudget::with_headers(&[(READS, "0"), (WRITES, "7")]);
    budget.respond(PUT, &[(WRITES, "0")]);
    assert_eq!(budget.rejection(ANN, VERSIONS), Some(DeferralReason::Exhausted));
    assert_eq!(budget.rejection(ANN, PUT), Some(DeferralReason::Exhausted));
    assert_eq!(budget.rejection(ANN, DELETE), None);
}

#[test]
fn limit_of_all_applications_counts_too() {
    let budget = TestBudget::with_headers(&[(READS, "249"), (GLOBAL_READS, "0")]);
    assert_eq!(budget.rejection(ANN, VERSIONS), Some(DeferralReason::Exhausted));
}

#[test]
fn compute_limit_applies_to_the_same_url_only() {
    let budget =
        TestBudget::with_headers(&[(READS, "249"), (RESOURCE, "Microsoft.Compute/HighCostGet3Min;0")]);
    let deferral = budget.admit(ANN, SKUS).unwrap_err();
    assert_eq!(
        (deferral.rejection.reason, deferral.delay()),
        (DeferralReason::Exhausted, Duration::from_mins(1))
    );
    assert_eq!(budget.rejection(ANN, SIZES), None);
    budget.advance(60_000);
    assert_eq!(budget.rejection(ANN, SKUS), None, "the number has expired");
}

#[test]
fn tokens_are_refilled_at_the_documented_rate() {
    let budget = TestBudget::with_headers(&[(READS, "0")]);
    let deferral = budget.admit(ANN, VERSIONS).unwrap_err();
    assert_eq!(deferral.delay(), Duration::from_millis(40));
    budget.advance(39);
    assert_eq!(budget.rejection(ANN, VERSIONS), Some(DeferralReason::Exhausted));
    budget.advance(1);
    assert_eq!(budget.rejection(ANN, VERSIONS), None);
    assert_eq!(budget.rejection(ANN, VERSIONS), Some(DeferralReason::Exhausted), "the token is spent");
    budget.advance(400);
    assert_eq!(budget.rejection(Priority::Background, VERSIONS), None, "ten tokens");
}

#[test]
fn requests_in_flight_are_subtracted() {
    let budget = TestBudget::with_headers(&[(READS, "2")]);
    let held = [budget.admit(ANN, VERSIONS).unwrap(), budget.admit(ANN, VERSIONS).unwrap()];
    assert_eq!(budget.rejection(ANN, VERSIONS), Some(DeferralReason::Exhausted));
    drop(held);
    assert_eq!(
        budget.rejection(ANN, VERSIONS),
        Some(DeferralReason::Exhausted),
        "they were sent, and Azure has reported no new number"
    );
    budget.respond(VERSIONS, &[(READS, "2")]);
    assert_eq!(budget.rejection(ANN, VERSIONS), None);
}

#[test]
fn contending_caller_gets_half_of_the_remaining_requests() {
    for (left, alone, contended) in [("8", 8, 4), ("7", 7, 3), ("3", 3, 1), ("1", 1, 1)] {
        let count_admitted = |is_contended: bool| {
            let budget = TestBudget::with_headers(&[(READS, left)]);
            let other = is_contended.then(|| budget.admit(BOB, PUT).unwrap());
            let admitted = (0..20).take_while(|_| budget.rejection(ANN, VERSIONS).is_none()).count();
            drop(other);
            admitted
        };
        assert_eq!((count_admitted(false), count_admitted(true)), (alone, contended), "{left}");
    }
}

#[test]
fn callers_do_not_starve_each_other() {
    let budget = TestBudget::with_headers(&[(READS, "8")]);
    let _ann = budget.admit(ANN, PUT).unwrap();
    let _bob = budget.admit(BOB, PUT).unwrap();
    let mut admitted = [0, 0];
    for _ in 0..20 {
        for (count, caller) in admitted.iter_mut().zip([ANN, BOB]) {
            *count += usize::from(budget.rejection(caller, VERSIONS).is_none());
        }
    }
    assert_eq!(admitted, [3, 2], "half of the requests that the other caller has not used");
}

#[test]
fn rejected_caller_counts_as_waiting() {
    let budget = TestBudget::with_headers(&[(READS, "0")]);
    assert_eq!(budget.rejection(BOB, VERSIONS), Some(DeferralReason::Exhausted));
    budget.advance(160);
    let admitted = (0..20).take_while(|_| budget.rejection(ANN, VERSIONS).is_none()).count();
    assert_eq!(admitted, 2, "half of the four that were refilled");
    assert_eq!(budget.rejection(BOB, VERSIONS), None);
    budget.advance(WAITING_MS.unsigned_abs());
    budget.respond(VERSIONS, &[(READS, "4")]);
    let admitted = (0..20).take_while(|_| budget.rejection(ANN, VERSIONS).is_none()).count();
    assert_eq!(admitted, 4, "no other caller waits any more");
}

#[test]
fn throttling_by_resource_manager_stops_all_reads() {
    let budget = TestBudget::new();
    budget.throttle(VERSIONS, ARM_THROTTLED_CODE, "17");
    for priority in [Priority::Background, Priority::Speculative, ANN] {
        assert_eq!(budget.rejection(priority, SKUS), Some(DeferralReason::Throttled), "{priority:?}");
    }
    assert_eq!(budget.rejection(ANN, PUT), None);
    budget.advance(10_500);
    let error = budget.admit(ANN, VERSIONS).unwrap_err().into_error();
    assert_eq!((error.upstream_status(), error.code()), (Some(429), Some(ARM_THROTTLED_CODE)));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)), "rounded up");
    // Another request does not show the URL of the first.
    let other = budget.admit(ANN, SKUS).unwrap_err().into_error();
    assert!(matches!(other, Error::BudgetExhausted { .. }), "{other}");
    assert_eq!(other.retry_after(), Some(Duration::from_secs(7)));
    budget.advance(6_500);
    assert_eq!(budget.rejection(Priority::Background, SKUS), None);
}

#[test]
fn throttling_by_a_provider_stops_the_same_request_only() {
    let budget = TestBudget::new();
    budget.throttle(PUT, "TooManyRequests", "17");
    assert_eq!(budget.rejection(ANN, PUT), Some(DeferralReason::Throttled));
    assert_eq!(budget.rejection(ANN, DELETE), None);
    assert_eq!(
        budget.rejection(
            ANN,
            (RequestName::PutManagedCluster, Method::PUT, "https://management.azure.com/two")
        ),
        None
    );
    budget.advance(17_000);
    assert_eq!(budget.rejection(ANN, PUT), None);
}

#[test]
fn errors_say_when_to_retry() {
    let budget = TestBudget::with_headers(&[(READS, "0")]);
    let error = |priority| budget.admit(priority, VERSIONS).unwrap_err().into_error();
    for (priority, deferred) in [(Priority::Background, true), (Priority::Speculative, true), (ANN, false)] {
        let error = error(priority);
        assert_eq!(error.is_deferred(), deferred, "{priority:?}");
        assert!(error.is_transient() && !error.may_have_been_accepted(), "{priority:?}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(1)), "{priority:?}");
    }
}

#[test]
fn each_application_and_subscription_has_one_budget() {
    let budgets = Budgets::new(Clock::manual(0));
    let credential = |subscription: &str, client: &str, fingerprint: u8| Credential {
        cloud: Cloud::Public,
        tenant_id: "t".to_owned(),
        subscription_id: subscription.to_owned(),
        client_id: client.to_owned(),
        client_secret: "x".into(),
        fingerprint: crate::Fingerprint([fingerprint; 32]),
    };
    let first = budgets.get(&credential("s", "c", 1));
    assert!(Arc::ptr_eq(&first, &budgets.get(&credential("S", "C", 2))), "another secret, other letter case");
    assert!(!Arc::ptr_eq(&first, &budgets.get(&credential("s2", "c", 1))));
    assert!(!Arc::ptr_eq(&first, &budgets.get(&credential("s", "c2", 1))));
}

#[test]
fn number_of_urls_is_bounded() {
    let budget = TestBudget::new();
    for number in 0..2 * MAX_URLS {
        let url = format!("https://management.azure.com/{number}");
        let kind = RequestKind { name: RequestName::ListVmSizes, method: &Method::GET, url: &url };
        let headers = response(200, &[(RESOURCE, "Microsoft.Compute/HighCostGet3Min;9")], "").headers;
        budget.budget.reserve(ANN, &kind).observe(&headers);
    }
    assert_eq!(budget.budget.lock().by_url.len(), MAX_URLS);
    budget.advance(60_000);
    budget.respond(SKUS, &[(RESOURCE, "Microsoft.Compute/HighCostGet3Min;9")]);
    assert_eq!(budget.budget.lock().by_url.len(), 1);
}

#[test]
fn gauges_show_the_minimum_of_all_budgets() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let clock = Clock::manual(0);
    let budgets = Budgets::new(clock.clone());
    for (client, left) in [("a", "200"), ("b", "30"), ("c", "99")] {
        let budget = Arc::new(Budget::new(clock.clone()));
        let key = Key { cloud: Cloud::Public, subscription_id: "s".to_owned(), client_id: client.to_owned() };
        budgets.by_key.insert(key, Arc::clone(&budget));
        let (name, method, url) = VERSIONS;
        let kind = RequestKind { name, method: &method, url };
        budget.reserve(ANN, &kind).observe(&response(200, &[(READS, left)], "").headers);
    }
    let render = || {
        metrics::with_local_recorder(&recorder, || budgets.set_gauges());
        recorder.handle().render()
    };
    let rendered = render();
    for line in [r#"remaining{kind="reads"} 30"#, r#"remaining{kind="writes"} NaN"#] {
        assert!(rendered.contains(line), "{line}\n{rendered}");
    }
    clock.advance(Duration::from_mins(2));
    assert!(render().contains(r#"remaining{kind="reads"} NaN"#));
}
