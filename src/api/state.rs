//! stand-in
#[derive(Clone)]
pub struct AppState;
impl AppState {
    pub fn base_url(&self, _: &http::request::Parts) -> String {
        "http://localhost".to_owned()
    }
}
