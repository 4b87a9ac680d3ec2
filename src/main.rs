//! The executable: calls [`norman_aks::main`].

use std::process::ExitCode;

fn main() -> ExitCode {
    norman_aks::main()
}
