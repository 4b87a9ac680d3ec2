//! Labels and annotations of stored objects, as requests change them.

use std::collections::BTreeMap;

use aks::plain_text::{ForbiddenCharacter, TextCheck};
use aks::spec::merge::{Mode, is_protected};

/// The label of every object that is created through Norman. Terraform expects at least one label.
pub const CREATOR: (&str, &str) = ("cattle.io/creator", "norman");

/// Annotations that are top-level fields of the object.
const TOP_LEVEL_ANNOTATIONS: [&str; 3] =
    ["field.cattle.io/creatorId", "field.cattle.io/description", "field.cattle.io/name"];

/// The change of one field by a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// The field is absent: the value is unchanged.
    #[default]
    Keep,
    /// The field is `null`.
    Clear,
    /// The field has a value.
    Set(T),
}

/// Labels and annotations of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The user's labels and `cattle.io/creator`.
    pub labels: BTreeMap<String, String>,
    /// The user's annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Metadata {
    /// The metadata of a stored object. Adds the creator label, which objects of earlier versions lack.
    pub(super) fn from_stored(
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
    ) -> Self {
        let mut metadata = Self { labels, annotations };
        metadata.set_creator();
        metadata
    }

    fn set_creator(&mut self) {
        self.labels.insert(CREATOR.0.to_owned(), CREATOR.1.to_owned());
    }
}

/// The changes of labels and annotations by a request. Omitted keys of the system (`cattle.io/`) keep their values.
#[derive(Clone, Debug, Default)]
pub struct MetadataChange {
    /// All labels.
    pub labels: Change<BTreeMap<String, String>>,
    /// All annotations.
    pub annotations: Change<BTreeMap<String, String>>,
}

impl MetadataChange {
    /// Applies the change.
    pub(super) fn apply(&self, metadata: &mut Metadata, mode: Mode) {
        metadata.labels = apply_to_map(std::mem::take(&mut metadata.labels), &self.labels, mode);
        metadata.set_creator();
        metadata.annotations =
            apply_to_map(std::mem::take(&mut metadata.annotations), &self.annotations, mode);
        for key in TOP_LEVEL_ANNOTATIONS {
            metadata.annotations.remove(key);
        }
    }

    /// Applies the change as a merge. Fails if it adds characters that are not allowed in labels and annotations.
    pub(super) fn merged_into(&self, before: Metadata) -> Result<Metadata, ForbiddenCharacter> {
        let mut check = TextCheck::new(&["annotations."]);
        let stored = before.labels.iter().chain(&before.annotations).flat_map(|(key, text)| [key, text]);
        stored.for_each(|text| check.allow_stored(text));
        let mut metadata = before;
        self.apply(&mut metadata, Mode::Merge);
        check.map("labels", &metadata.labels)?;
        check.map("annotations", &metadata.annotations)?;
        Ok(metadata)
    }
}

fn apply_to_map(
    old: BTreeMap<String, String>,
    change: &Change<BTreeMap<String, String>>,
    mode: Mode,
) -> BTreeMap<String, String> {
    let mut new = match (change, mode) {
        (Change::Keep, Mode::Merge) => return old,
        (Change::Set(map), _) => map.clone(),
        (Change::Keep, Mode::Replace) | (Change::Clear, _) => BTreeMap::new(),
    };
    for (key, value) in old.into_iter().filter(|(key, _)| is_protected(key)) {
        new.entry(key).or_insert(value);
    }
    new
}
