# A loop over Chat Completions with the tools of an MCP server, in curl and jq.

set -eu
post() { curl --silent --show-error --fail-with-body --header "content-type: application/json" "$@"; }
mcp() { post --header "accept: application/json" --data "{\"jsonrpc\": \"2.0\", \"id\": 1, $1}" "$MCP_URL"; }
think() {
  jq -n '{model: "gpt-5-mini", $messages, $tools}' --argjson messages "$messages" --argjson tools "$tools" |
    post --header "authorization: Bearer $OPENAI_API_KEY" --data @- "$OPENAI_BASE_URL/chat/completions"
}

tools=$(mcp '"method": "tools/list"' | jq '[.result.tools[] | {type: "function",
  function: {name, description, parameters: .inputSchema}}]')
messages='[{"role": "user", "content": "Book a room in Lisbon for two nights."}]'

while true; do
  message=$(think | jq '.choices[0].message')
  messages=$(jq -n '$messages + [$message]' --argjson messages "$messages" --argjson message "$message")
  echo "$message" | jq --raw-output .content
  call=$(echo "$message" | jq '.tool_calls[0]')
  [ "$call" = null ] && break
  params=$(echo "$call" | jq '.function | {name, arguments: (.arguments | fromjson)}')
  result=$(mcp "\"method\": \"tools/call\", \"params\": $params" | jq '.result.content[0].text')
  messages=$(jq -n '$messages + [{role: "tool", tool_call_id: $call.id, $content}]' \
    --argjson messages "$messages" --argjson call "$call" --argjson content "$result")
done
