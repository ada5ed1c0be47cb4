using System.ServiceModel;
using System.ServiceModel.Channels;

namespace Peers;

static class Namespaces
{
    public const string Samples = "http://Microsoft.ServiceModel.Samples";
    public const string Own = "http://interop.example/2024";
}

[ServiceContract(Namespace = Namespaces.Samples)]
public interface ICalculator
{
    [OperationContract] double Add(double n1, double n2);
    [OperationContract] double Subtract(double n1, double n2);
    [OperationContract] double Multiply(double n1, double n2);
    [OperationContract] double Divide(double n1, double n2);
}

/// <summary>The calculator as somebody believes it to be.</summary>
[ServiceContract(Namespace = Namespaces.Samples, Name = nameof(ICalculator))]
public interface IUnknown
{
    [OperationContract] double Root(double n1);
}

[ServiceContract(Namespace = Namespaces.Samples, SessionMode = SessionMode.Required,
                 CallbackContract = typeof(ICalculatorDuplexCallback))]
public interface ICalculatorDuplex
{
    [OperationContract(IsOneWay = true)] void Clear();
    [OperationContract(IsOneWay = true)] void AddTo(double n);
    [OperationContract(IsOneWay = true)] void MultiplyBy(double n);
}

public interface ICalculatorDuplexCallback
{
    [OperationContract(IsOneWay = true)] void Equals(double result);
    [OperationContract(IsOneWay = true)] void Equation(string eqn);
}

[ServiceContract(Namespace = Namespaces.Own)]
public interface IEcho
{
    [OperationContract] string Echo(string text);
    [OperationContract] byte[] Blob(byte[] data);
    [OperationContract] string Fail(string kind);   // "fault" or "crash"
}

/// <summary>For a server that sends every envelope back: what comes looks like a call of the service.</summary>
[ServiceContract(Namespace = Namespaces.Own, SessionMode = SessionMode.Required, CallbackContract = typeof(IMirrorCallback))]
public interface IMirror
{
    [OperationContract(IsOneWay = true, Action = IMirrorCallback.Action)] void Show(string text);
}

public interface IMirrorCallback
{
    public const string Action = Namespaces.Own + "/IMirror/Show";

    [OperationContract(IsOneWay = true, Action = Action)] void Show(string text);
}

/// <summary>The same where a reply needs no RelatesTo: streamed.</summary>
[ServiceContract(Namespace = Namespaces.Own)]
public interface IStreamedMirror
{
    [OperationContract(Action = IMirrorCallback.Action, ReplyAction = IMirrorCallback.Action)] Message Show(Message message);
}

/// <summary>For a service that asks its client, and wants answers.</summary>
[ServiceContract(Namespace = Namespaces.Own, SessionMode = SessionMode.Required, CallbackContract = typeof(IAsked))]
public interface IAsks
{
    [OperationContract(IsOneWay = true)] void Begin();
}

public interface IAsked
{
    [OperationContract] string Ask(string text);
}

[ServiceContract(Namespace = Namespaces.Own)]
public interface IFireAndForget
{
    [OperationContract(IsOneWay = true)] void Tell(string text);
}

[ServiceContract(Namespace = Namespaces.Own)]
public interface IStreams
{
    [OperationContract] Stream Download(int bytes);
    [OperationContract] long Upload(Stream data);
}

[ServiceContract(Namespace = Namespaces.Samples)]
public interface IStreamed
{
    [OperationContract] Stream Echo(Stream data);
}
