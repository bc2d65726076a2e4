//! Words and settings that programs and operators rely on.

use alloc::string::ToString;
use core::time::Duration;

use crate::error::Code;
use crate::ids::{Lsn, ReplicaId};
use crate::sync::{Bye, CloseReason, Finding, Settings};

#[test]
fn settings_out_of_range_are_refused_by_name_and_the_limits_themselves_are_not() {
    type Change = fn(&mut Settings);
    let cases: [(&str, Change, Change); 10] = [
        ("required_acks", |s| s.required_acks = 0, |s| s.required_acks = 1),
        ("window", |s| s.window = (4 << 10) - 1, |s| s.window = 4 << 10),
        ("window", |s| s.window = (1 << 30) + 1, |s| s.window = 1 << 30),
        ("ack_timeout", |s| s.ack_timeout = Duration::from_millis(99), |s| s.ack_timeout = Duration::from_millis(100)),
        ("max_retries", |s| s.max_retries = 0, |s| s.max_retries = 1),
        (
            "backoff_max",
            |s| s.backoff_max = s.backoff_first - Duration::from_micros(1),
            |s| s.backoff_max = s.backoff_first,
        ),
        ("ping_every", |s| s.ping_every = Duration::from_millis(99), |s| s.ping_every = Duration::from_millis(100)),
        ("full_timeout", |s| s.full_timeout = Duration::from_millis(999), |s| s.full_timeout = Duration::from_secs(1)),
        (
            "member_lease",
            |s| s.member_lease = Duration::from_secs(3599),
            |s| s.member_lease = Duration::from_secs(3600),
        ),
        ("collect_every", |s| s.collect_every = Duration::ZERO, |s| s.collect_every = Duration::from_secs(1)),
    ];
    for (name, spoil, keep) in cases {
        let mut settings = Settings::default();
        keep(&mut settings);
        settings.validate().unwrap();
        spoil(&mut settings);
        let error = settings.validate().unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.what().starts_with(name), "{error}");
    }
}

#[test]
fn findings_have_stable_names_and_say_what_was_found() {
    let replica = ReplicaId([7; 16]);
    let cases = [
        (
            Finding::Rollback { own: 5, told: 6, common: 3 },
            "identity_rollback",
            "it has issued 5 operations, a peer was told of 6",
        ),
        (Finding::Rollback { own: 6, told: 6, common: 3 }, "identity_rollback", "the same here up to 3 only"),
        (Finding::LogRollback { durable: Lsn(8), told: Lsn(9), common: 3 }, "identity_rollback", "log was rolled back"),
        (
            Finding::ClaimRollback { of: replica, own: 5, told: 6, common: 3 },
            "identity_rollback",
            "it holds 5 operations of replica",
        ),
        (Finding::Clone(replica), "identity_clone", "runs in two places"),
    ];
    for (finding, name, words) in cases {
        assert_eq!(finding.as_str(), name);
        assert!(finding.to_string().contains(words), "{finding}");
        assert_eq!(CloseReason::Identity(finding).to_string(), finding.to_string());
        assert_eq!(CloseReason::Identity(finding).bye(), Bye::Identity);
    }
}

#[test]
fn every_reason_to_close_has_its_words_and_its_farewell() {
    let cases = [
        (CloseReason::Protocol("why".into()), "protocol error: why", Bye::Protocol),
        (CloseReason::WrongNetwork, "another network", Bye::WrongNetwork),
        (CloseReason::NoCommonProtocol, "no protocol", Bye::NoCommonProtocol),
        (CloseReason::Silent, "no acknowledgement", Bye::Leaving),
        (CloseReason::ClockSkew, "clock", Bye::ClockSkew),
        (CloseReason::Replaced, "newer link", Bye::Replaced),
        (CloseReason::FloorRose, "deletions were collected", Bye::Leaving),
        (CloseReason::NoRoom, "no room", Bye::NoRoom),
        (CloseReason::Degraded, "disk has failed", Bye::Degraded),
        (CloseReason::StampOutOfRange, "stamp_out_of_range", Bye::StampOutOfRange),
        (CloseReason::TooManyReplicas, "too_many_replicas", Bye::TooManyReplicas),
        (CloseReason::FullStalled, "full_stalled", Bye::FullStalled),
        (CloseReason::FullSpoiled, "begins anew", Bye::Leaving),
        (CloseReason::Told(Bye::NoRoom), "the peer said: its disk is full", Bye::NoRoom),
    ];
    for (reason, words, bye) in &cases {
        assert!(reason.to_string().contains(words), "{reason}");
        assert_eq!(reason.bye(), *bye, "{reason}");
    }
    let mut told: alloc::vec::Vec<_> = cases.iter().map(|(reason, ..)| reason.to_string()).collect();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), cases.len());
}
