//! DTX: the message layer under the developer services (headers, fragments, channels).
