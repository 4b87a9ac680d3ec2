//! Labels and annotations of stored objects, and changes of them by requests.

use std::collections::BTreeMap;

use aks::plain_text::{ForbiddenCharacter, TextCheck};
use aks::spec::merge::{Mode, is_protected};

/// The label of every object that is created through Norman. Terraform expects at least one label.
pub const CREATOR_LABEL: (&str, &str) = ("cattle.io/creator", "norman");

/// Annotations that are not stored, because the object has their values as top-level fields.
const TOP_LEVEL_ANNOTATIONS: [&str; 3] =
    ["field.cattle.io/creatorId", "field.cattle.io/description", "field.cattle.io/name"];

/// The change of one field by a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// The field is absent: a merge keeps the value, a replacement clears it.
    #[default]
    Keep,
    /// The field is `null`: the value is cleared.
    Clear,
    /// The field has a value.
    Set(T),
}

/// Labels and annotations of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The labels that users set, and `cattle.io/creator`.
    pub labels: BTreeMap<String, String>,
    /// The annotations that users set.
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
        self.labels.insert(CREATOR_LABEL.0.to_owned(), CREATOR_LABEL.1.to_owned());
    }
}

/// A change of labels and annotations by a request. Keys of the system (`cattle.io/`) that the request omits keep their values.
#[derive(Clone, Debug, Default)]
pub struct MetadataChange {
    /// The complete new labels.
    pub labels: Change<BTreeMap<String, String>>,
    /// The complete new annotations.
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
    pub(super) fn merged_into(&self, mut metadata: Metadata) -> Result<Metadata, ForbiddenCharacter> {
        let mut check = TextCheck::new(&["annotations."]);
        let stored = metadata.labels.iter().chain(&metadata.annotations).flat_map(|(key, text)| [key, text]);
        stored.for_each(|text| check.allow_stored(text));
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
