//! Layouts in place of links (in-toto 4.5): a functionary hands on a step to people of their own choice.

use super::{
    chain::Sublayouts, error::Error, frame::Frame, layout::Layout, name::LinkName, signed::Signers, verified::Verified,
    verify::verify_layout,
};
use crate::crypto::KeyId;

/// Verifies a layout that `keyid` handed in for `link.step`. It stands for itself: signed by exactly that functionary,
/// with its own keys, expiry and links in a folder of its own, and without the outer layout's parameters.
pub(super) fn verify(
    frame: &mut Frame<'_, '_>,
    link: &LinkName,
    keyid: &KeyId,
    layout: Layout,
) -> Result<Verified, Error> {
    let step = link.step.clone();
    let allowed = match frame.options.sublayouts {
        Sublayouts::Deny => return Err(Error::SublayoutDenied { step, keyid: keyid.clone() }),
        Sublayouts::Allow { depth } => depth.min(frame.limits.sublayout_depth),
    };
    let depth = frame.folder.len() + 1;
    if depth > allowed {
        return Err(Error::SublayoutTooDeep { step, keyid: keyid.clone(), depth, allowed });
    }
    frame.folder.push(link.folder());
    // The signature on it was verified when it was counted as this functionary's link.
    let signers = Signers { ids: vec![keyid.clone()], expiry: None };
    let verified = verify_layout(frame, layout, signers, None);
    frame.folder.pop();
    verified.map_err(|error| Error::Sublayout { step, keyid: keyid.clone(), error: Box::new(error) })
}
