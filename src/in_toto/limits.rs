//! The caps on everything that layouts and links may make this program read, walk or keep.

/// Caps; every loop over foreign data is bounded by one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a layout file.
    pub layout_bytes: usize,
    /// Bytes of a link file.
    pub link_bytes: usize,
    /// Link files of one supply chain, those of its sublayouts included.
    pub link_files: usize,
    /// Readings of such files: one file is read for each functionary whose key id begins as its name says, and again
    /// for each way that leads to the folder of its sublayout.
    pub readings: usize,
    /// Bytes of such files, each as often as it is read, or a signature on what stands in it is tried.
    pub read_bytes: usize,
    /// Values of one JSON document that is read in the ordinary way.
    pub json_values: usize,
    /// Attestations in all files together.
    pub attestations: usize,
    /// Signatures on them that are verified: one that does not say whose it is is tried with the key of each functionary.
    pub signature_trials: usize,
    /// Signatures of one file.
    pub signatures: usize,
    /// Certificates for which a chain to an authority is sought.
    pub certificates: usize,
    /// Keys that one layout lists.
    pub keys: usize,
    /// Steps of one layout, and likewise inspections.
    pub steps: usize,
    /// Functionaries that may perform one step, and so links per step.
    pub functionaries: usize,
    /// Rules in one list.
    pub rules: usize,
    /// Bytes of one word of a rule, after parameters are filled in.
    pub rule_bytes: usize,
    /// Comparisons of characters that all rules take together.
    pub rule_steps: usize,
    /// Bytes of one attribute rule, after parameters are filled in.
    pub attribute_bytes: usize,
    /// Parts of one attribute rule.
    pub attribute_nodes: usize,
    /// How deep these are nested.
    pub attribute_depth: usize,
    /// What the attribute rules of one supply chain may read, in values of JSON or 16 bytes of a text.
    pub attribute_cost: u64,
    /// Materials of one link, and likewise products.
    pub artifacts: usize,
    /// Artifacts of everything that is read, and of everything that inspections record.
    pub all_artifacts: usize,
    /// Bytes of one artifact name.
    pub artifact_name_bytes: usize,
    /// Layouts within layouts, whatever the options allow.
    pub sublayout_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            layout_bytes: 4 << 20,
            link_bytes: 32 << 20,
            link_files: 1024,
            readings: 2048,
            read_bytes: 256 << 20,
            json_values: 1_000_000,
            attestations: 1024,
            signature_trials: 2048,
            signatures: 64,
            certificates: 64,
            keys: 256,
            steps: 256,
            functionaries: 64,
            rules: 256,
            rule_bytes: 4 << 10,
            rule_steps: 1 << 30,
            attribute_bytes: 2 << 10,
            attribute_nodes: 512,
            attribute_depth: 32,
            attribute_cost: 5_000_000,
            artifacts: 200_000,
            all_artifacts: 1_000_000,
            artifact_name_bytes: 4 << 10,
            sublayout_depth: 8,
        }
    }
}
