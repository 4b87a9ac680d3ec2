//! The executable: hands over to [`norman_aks::main`] and turns its result into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    norman_aks::main()
}
