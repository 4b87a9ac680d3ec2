//! The links that are open: one for each cluster and identity, bounded, and gone when what they were opened with changed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Access;
use super::error::Error;
use super::link::{Dialler, Link};

/// More are not kept at once: the one that was not used for the longest time goes.
const MOST: usize = 256;

/// A link that nobody asked for during this time goes, and with it the identity.
const IDLE: Duration = Duration::from_mins(10);

pub(super) struct Links {
    dialler: Dialler,
    open: Mutex<Vec<Open>>,
}

struct Open {
    access: Access,
    link: Link,
    used: Instant,
}

impl Links {
    pub(super) fn new(dialler: Dialler) -> Self {
        Self { dialler, open: Mutex::default() }
    }

    /// The link for that access: the open one, or a new one in place of those that had another authority or secret.
    pub(super) fn to(&self, access: &Access) -> Result<Link, Error> {
        self.to_at(access, Instant::now())
    }

    fn to_at(&self, access: &Access, now: Instant) -> Result<Link, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = open.iter_mut().find(|open| open.access.is_same_as(access)) {
            known.used = now;
            return Ok(known.link.clone());
        }
        let link = Link::open(&self.dialler, access)?;
        open.retain(|open| now.duration_since(open.used) < IDLE && !is_replaced(&open.access, access));
        if open.len() >= MOST
            && let Some(oldest) = (0..open.len()).min_by_key(|at| open.get(*at).map(|open| open.used))
        {
            open.swap_remove(oldest);
        }
        open.push(Open { access: access.clone(), link: link.clone(), used: now });
        Ok(link)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.open.lock().unwrap().len()
    }
}

/// Whether `newer` says otherwise about the same cluster. Two identities of one cluster are in use at once only while a new
/// one is tried; opening a link again costs no more than a handshake.
fn is_replaced(known: &Access, newer: &Access) -> bool {
    known.endpoint == newer.endpoint
}

#[cfg(test)]
mod tests {
    use super::super::Identity;
    use super::super::dial::Dial;
    use super::*;

    fn links() -> Links {
        Links::new(Dialler { dial: Dial::new(None), proxies: None, connect_limit: IDLE })
    }

    fn access(host: &str, ca: &str, token: &str) -> Access {
        Access {
            endpoint: format!("https://{host}.hcp.westeurope.azmk8s.io:443").parse().unwrap(),
            ca: ca.into(),
            identity: Identity::Token(token.into()),
        }
    }

    fn authority() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.self_signed(&key).unwrap().pem()
    }

    #[tokio::test]
    async fn a_changed_secret_or_authority_replaces_the_link() {
        let (links, one, two) = (links(), authority(), authority());
        links.to(&access("a", &one, "t")).unwrap();
        links.to(&access("a", &one, "t")).unwrap();
        links.to(&access("b", &one, "t")).unwrap();
        assert_eq!(links.len(), 2);
        links.to(&access("a", &one, "other")).unwrap();
        links.to(&access("a", &two, "other")).unwrap();
        assert_eq!(links.len(), 2);
        assert!(
            links.open.lock().unwrap().iter().all(|open| !open.access.is_same_as(&access("a", &one, "t")))
        );
    }

    #[tokio::test]
    async fn links_are_bounded_and_idle_ones_go() {
        let (links, ca, start) = (links(), authority(), Instant::now());
        for number in 0..=MOST {
            let at = start + Duration::from_millis(u64::try_from(number).unwrap());
            links.to_at(&access(&format!("a{number}"), &ca, "t"), at).unwrap();
        }
        assert_eq!(links.len(), MOST);
        assert!(
            links.open.lock().unwrap().iter().all(|open| !open.access.is_same_as(&access("a0", &ca, "t")))
        );
        links.to_at(&access("b", &ca, "t"), start + IDLE * 2).unwrap();
        assert_eq!(links.len(), 1);
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_named_and_never_shown() {
        let ca = authority();
        for (access, named) in [
            (access("a", "no PEM", "t"), "certificate authority"),
            (access("a", &ca, "canary\n"), "token"),
            (
                Access {
                    identity: Identity::Certificate { certificate: b"canary".to_vec(), key: "canary".into() },
                    ..access("a", &ca, "t")
                },
                "client certificate",
            ),
        ] {
            let error = links().to(&access).err().unwrap();
            let text = format!("{error} {error:?}");
            assert!(text.contains(named) && !text.contains("canary"), "{text}");
        }
    }
}
