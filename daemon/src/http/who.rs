//! Who changes something, and why: said in the query, as these requests have another body or none.

use holdfast_wire::id::Owner;
use serde::Deserialize;

use super::phones::check_reason;
use super::problem::Refusal;
use crate::farm::Who;

/// Who changes something, for the audit.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Asking {
    /// Who, as he names himself.
    #[param(value_type = Option<String>)]
    pub by: Option<Owner>,
    /// Why, for people; up to 300 bytes.
    pub reason: Option<String>,
}

impl Asking {
    /// Who it is, checked.
    ///
    /// # Errors
    /// The reason is empty or too long.
    pub fn who(self) -> Result<Who, Refusal> {
        let Self { by, reason } = self;
        reason.as_deref().map_or(Ok(()), check_reason)?;
        Ok(Who { by, reason })
    }
}
