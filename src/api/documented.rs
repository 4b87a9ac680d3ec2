//! Routes with their documentation, which is built only when the API document is requested, because building it takes more time
//! and memory than building the routes.

use axum::Router;
use axum::routing::MethodRouter;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

/// Builds the documentation of a route.
type BuildDocs<S> = Box<dyn FnOnce() -> UtoipaMethodRouter<S>>;

/// A path with its methods and their documentation.
pub(super) struct DocumentedRoute<S> {
    path: String,
    methods: MethodRouter<S>,
    build_docs: BuildDocs<S>,
}

impl<S> DocumentedRoute<S> {
    pub(super) fn new(
        path: String,
        methods: MethodRouter<S>,
        build_docs: impl FnOnce() -> UtoipaMethodRouter<S> + 'static,
    ) -> Self {
        Self { path, methods, build_docs: Box::new(build_docs) }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn methods(&self) -> &MethodRouter<S> {
        &self.methods
    }

    /// Changes the methods, but not their documentation.
    pub(super) fn map_methods(mut self, change: impl FnOnce(MethodRouter<S>) -> MethodRouter<S>) -> Self {
        self.methods = change(self.methods);
        self
    }
}

/// Builds the [`DocumentedRoute`] of handlers with `#[utoipa::path]`, which must all have the same path.
macro_rules! routes {
    ($($name:ident $(:: $rest:ident)*),+) => {{
        use utoipa_axum::PathItemExt as _;
        let mut path = String::new();
        let methods = ::axum::routing::MethodRouter::new();
        // The parts of `utoipa_axum::routes!` that build no documentation. They are not public, so another version may lack them.
        $(
            let next = utoipa_axum::routes!(@path [path()] of $name $(:: $rest)*);
            debug_assert!(path.is_empty() || path == next, "{path} and {next} need a route each");
            path = next;
            let methods = utoipa_axum::routes!(@path [methods()] of $name $(:: $rest)*)
                .into_iter()
                .fold(methods, |methods, method| methods.on(method.to_method_filter(), $name $(:: $rest)*));
        )+
        $crate::api::documented::DocumentedRoute::new(
            path,
            methods,
            || utoipa_axum::routes!($($name $(:: $rest)*),+),
        )
    }};
}
pub(super) use routes;

/// Routes, documented or not.
pub(crate) struct DocumentedRouter<S> {
    router: Router<S>,
    docs_builders: Vec<BuildDocs<S>>,
}

impl<S: Clone + Send + Sync + 'static> DocumentedRouter<S> {
    pub(super) fn new() -> Self {
        Self { router: Router::new(), docs_builders: Vec::new() }
    }

    /// Adds another spelling of a documented path, or a path that is not part of the document.
    pub(super) fn undocumented(mut self, path: &str, methods: MethodRouter<S>) -> Self {
        self.router = self.router.route(path, methods);
        self
    }

    /// Adds a path with its documentation.
    pub(super) fn route(mut self, route: DocumentedRoute<S>) -> Self {
        self.docs_builders.push(route.build_docs);
        self.router = self.router.route(&route.path, route.methods);
        self
    }

    /// Adds the routes of another router.
    pub(super) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.docs_builders.extend(other.docs_builders);
        self
    }

    /// Builds the documentation. Of two schemas with the same name, which should be equal, the last one is used.
    pub(super) fn into_openapi(self) -> OpenApi {
        let docs_builders = self.docs_builders.into_iter();
        docs_builders
            .fold(OpenApiRouter::new(), |router, build_docs| router.routes(build_docs()))
            .into_openapi()
    }
}

impl<S> From<DocumentedRouter<S>> for Router<S> {
    fn from(routes: DocumentedRouter<S>) -> Self {
        routes.router
    }
}
