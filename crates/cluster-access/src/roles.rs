//! Rights inside a cluster: the roles and bindings of owners, members and readers, and bindings of single users.
//!
//! | file | content |
//! |---|---|
//! | `rules` | the rules of the members' two roles |
//! | `desired` | the desired objects, and the comparison |
//! | `state` | reads the rights in a cluster |
//! | `change` | changes them |
//! | `watch` | watches them |
//! | `users` | bindings of single users |
//! | `objects` | requests about objects and lists |

pub(crate) mod change;
mod desired;
mod objects;
mod rules;
pub(crate) mod state;
pub(crate) mod users;
pub(crate) mod watch;

pub use self::state::{MANAGED_LABEL, MEMBERS_LABEL, RoleChanges, RoleState};
pub use self::users::RemovedUsers;
pub use self::watch::RoleWatch;
