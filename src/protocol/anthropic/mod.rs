// SPDX-License-Identifier: Apache-2.0

//! Anthropic's Messages API (<https://docs.claude.com/en/api/messages>).
