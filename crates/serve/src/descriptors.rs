//! The limit of file descriptors, and detection of errors when none are left.

use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Connections have their own limit, so more descriptors are not needed.
const MAX_DESCRIPTORS: u64 = 65_536;

/// Raises the process's soft limit of open files to the hard limit, but at most to 65,536; returns the new limit. On many
/// systems the default is 1,024, for programs that use `select`.
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(u64::MAX).min(MAX_DESCRIPTORS);
    if limit.current.is_some_and(|current| current < wanted)
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit })
    {
        warn!(wanted, error = &error as &dyn std::error::Error, "cannot raise the limit of open files");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(MAX_DESCRIPTORS)
}

/// Whether the process or the system has run out of file descriptors, or of memory for them.
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    let exhaustion_errors = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error
        .raw_os_error()
        .is_some_and(|code| exhaustion_errors.iter().any(|errno| errno.raw_os_error() == code))
}

/// Whether a connection is waiting to be accepted, or may be: the query failed.
pub(super) fn has_waiting_connection(listener: &impl AsFd) -> bool {
    let no_wait = Timespec::default();
    poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&no_wait)) != Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_waits_until_it_is_accepted() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(!has_waiting_connection(&listener));
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(has_waiting_connection(&listener));
        let _accepted = listener.accept().unwrap();
        assert!(!has_waiting_connection(&listener));
    }

    #[test]
    fn limit_is_raised_to_the_hard_limit() {
        let raised = raise_descriptor_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current.unwrap_or(MAX_DESCRIPTORS), raised);
        assert!(raised >= limit.maximum.unwrap_or(u64::MAX).min(MAX_DESCRIPTORS));
        assert_eq!(raise_descriptor_limit(), raised, "a second call changes nothing");
    }

    #[test]
    fn only_errors_for_missing_resources_are_exhaustion() {
        assert!(is_exhausted(&io::Error::from_raw_os_error(Errno::MFILE.raw_os_error())));
        assert!(is_exhausted(&io::Error::from_raw_os_error(Errno::NFILE.raw_os_error())));
        assert!(!is_exhausted(&io::Error::from_raw_os_error(Errno::CONNABORTED.raw_os_error())));
        assert!(!is_exhausted(&io::ErrorKind::ConnectionReset.into()));
    }
}
