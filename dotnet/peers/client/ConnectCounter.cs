using System.Diagnostics.Tracing;

namespace Peers;

/// <summary>Counts the TCP connections that this process has made, and so shows pooling.</summary>
sealed class ConnectCounter : EventListener
{
    int count;

    public int Count => count;

    protected override void OnEventSourceCreated(EventSource source)
    {
        if (source.Name == "System.Net.Sockets") EnableEvents(source, EventLevel.Informational, EventKeywords.All);
    }

    protected override void OnEventWritten(EventWrittenEventArgs written)
    {
        switch (written.EventName)
        {
            case "ConnectStart": Interlocked.Increment(ref count); break;
            case "ConnectFailed":
                Interlocked.Decrement(ref count);
                Report.Say($"tcp connect failed {string.Join(" ", written.Payload ?? new([]))}");
                break;
        }
    }
}
