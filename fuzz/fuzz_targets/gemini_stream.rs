// SPDX-License-Identifier: Apache-2.0

#![no_main]

use tollgate::config::ProviderKind;

libfuzzer_sys::fuzz_target!(|data: &[u8]| tollgate_fuzz::check_stream(ProviderKind::Gemini, data));
